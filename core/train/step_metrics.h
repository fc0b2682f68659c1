// The numbers of one training step, and their sums over an epoch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

/// The first term of `metrics` that is not finite, by its column name; empty if all are.
std::string first_non_finite(const StepMetrics& metrics);

}  // namespace cdsp
