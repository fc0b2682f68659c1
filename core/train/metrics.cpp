#include "train/metrics.h"

#include <ATen/ATen.h>

#include "train/device_split.h"

namespace cdsp {

at::Tensor per_task_sums(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& tasks, const at::Tensor& sample_losses,
                         int64_t num_tasks) {
  const at::Tensor members = one_hot_tasks(tasks, num_tasks, at::kDouble);  // [batch, tasks]
  const at::Tensor correct = logits.detach().argmax(1).eq(labels).to(at::kDouble);
  const at::Tensor per_image =
      at::stack({at::ones_like(correct), correct, sample_losses.to(at::kDouble)});  // [3, batch]
  return at::mm(per_image, members).reshape({-1});
}

StepMetrics unpack_metrics(const at::Tensor& host_vector, bool has_topology) {
  using namespace metric_slot;
  const double* value = host_vector.data_ptr<double>();
  const auto tasks = static_cast<size_t>((host_vector.numel() - kScalars) / 3);
  StepMetrics metrics;
  metrics.loss_total = value[kLossTotal];
  metrics.loss_task = value[kLossTask];
  metrics.loss_conflict = value[kLossConflict];
  metrics.loss_reg = value[kLossReg];
  metrics.loss_balance = value[kLossBalance];
  metrics.grad_norm = value[kGradNorm];
  if (has_topology) {
    metrics.alpha_sparsity = value[kAlphaSparsity];
    metrics.structural_entropy = value[kStructuralEntropy];
  }
  const double* sums = value + kScalars;
  metrics.task_count.assign(sums, sums + tasks);
  metrics.task_correct.assign(sums + tasks, sums + 2 * tasks);
  metrics.task_loss.assign(sums + 2 * tasks, sums + 3 * tasks);
  return metrics;
}

}  // namespace cdsp
