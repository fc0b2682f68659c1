// The numbers of one step as a vector on the device (places in it: metrics.h, metric_slot).
#pragma once

#include <ATen/core/Tensor.h>

#include "model/network.h"
#include "train/device_split.h"
#include "train/objective.h"

namespace cdsp {

struct StepVector {
  at::Tensor whole;      // float64 [kScalars + 3 * tasks]
  at::Tensor task_sums;  // its last 3 * tasks: per_task_sums
};

/// grad_norm: one number.
StepVector metric_vector(const Objective& terms, const at::Tensor& grad_norm,
                         const ForwardResult& forward, const Batch& batch, int64_t num_tasks);

/// The same where the numbers are at hand: on the host, in a step that may look at them.
StepVector metric_vector_cpu(const Objective& terms, const at::Tensor& grad_norm,
                             const ForwardResult& forward, const Batch& batch, int64_t num_tasks);

}  // namespace cdsp
