// What one training step tells, as one device vector while the GPU works and as named numbers once
// read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp {

/// The numbers of one step, of that step's own batch and the parameters before its update.
struct StepMetrics {
  int64_t step = 0;    // counted from 1
  int64_t epoch = 0;   // counted from 1
  int64_t images = 0;  // seen so far in the run, this step's included
  double loss_total = 0, loss_task = 0, loss_conflict = 0, loss_reg = 0, loss_balance = 0;
  double grad_norm = 0;  // before clipping
  std::optional<double> alpha_sparsity,
      structural_entropy;  // over all layers; none without a topology
  std::vector<double> task_count, task_correct, task_loss;  // per task; task_loss is a sum
  double accuracy() const;                                  // fraction
  std::optional<double> task_accuracy(size_t task) const;   // none if the batch has no image of it
};

/// Sums over the steps of an epoch.
struct EpochSums {
  std::vector<double> count, correct, loss;  // per task
};

/// Where each number stands in the vector of one step, float64 [kScalars + 3 * tasks].
namespace metric_slot {
enum : int64_t {
  kLossTotal,
  kLossTask,
  kLossConflict,
  kLossReg,
  kLossBalance,
  kGradNorm,
  kAlphaSparsity,
  kStructuralEntropy,
  kScalars
};
}  // namespace metric_slot

/// Per-task sums of a batch, float64 [3 * tasks]: counts, correct answers, summed losses.
at::Tensor per_task_sums(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& tasks, const at::Tensor& sample_losses,
                         int64_t num_tasks);

/// Reads one vector; `has_topology` says whether sparsity and entropy mean something.
StepMetrics unpack_metrics(const at::Tensor& host_vector, bool has_topology);

/// The first term of `metrics` that is not finite, by its column name; empty if all are.
std::string first_non_finite(const StepMetrics& metrics);

}  // namespace cdsp
