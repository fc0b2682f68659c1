// What one training step tells, as one vector on the device while it works.
#pragma once

#include <ATen/core/Tensor.h>

#include "train/metric_slots.h"
#include "train/step_metrics.h"

namespace cdsp {

/// Per-task sums of a batch, float64 [3 * tasks]: counts, correct answers, summed losses.
at::Tensor per_task_sums(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& tasks, const at::Tensor& sample_losses,
                         int64_t num_tasks);

/// Reads one vector; `has_topology` says whether sparsity and entropy mean something.
StepMetrics unpack_metrics(const at::Tensor& host_vector, bool has_topology);

}  // namespace cdsp
