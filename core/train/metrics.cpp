#include "train/metrics.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "train/device_split.h"

namespace cdsp {
namespace {

/// Image after image: a step has too few of them for LibTorch's operations to be worth their calls.
at::Tensor per_task_sums_cpu(const at::Tensor& logits, const at::Tensor& labels,
                             const at::Tensor& tasks, const at::Tensor& sample_losses,
                             int64_t num_tasks) {
  const int64_t images = logits.size(0), classes = logits.size(1);
  at::Tensor sums = at::zeros({3 * num_tasks}, at::kDouble);
  double *counts = sums.data_ptr<double>(), *correct = counts + num_tasks,
         *losses = correct + num_tasks;
  const int64_t *label = labels.data_ptr<int64_t>(), *task = tasks.data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "per_task_sums", [&] {
    const scalar_t* row = logits.data_ptr<scalar_t>();
    const scalar_t* loss = sample_losses.data_ptr<scalar_t>();
    for (int64_t i = 0; i < images; ++i, row += classes) {
      int64_t answer = 0;  // the first of the largest; what is no number is larger, as for argmax
      for (int64_t c = 1; c < classes; ++c) {
        if (row[c] > row[answer] || (std::isnan(row[c]) && !std::isnan(row[answer]))) answer = c;
      }
      counts[task[i]] += 1.0;
      correct[task[i]] += answer == label[i] ? 1.0 : 0.0;
      losses[task[i]] += static_cast<double>(loss[i]);
    }
  });
  return sums;
}

}  // namespace

at::Tensor per_task_sums(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& tasks, const at::Tensor& sample_losses,
                         int64_t num_tasks) {
  if (logits.device().is_cpu()) {
    return per_task_sums_cpu(logits.detach().contiguous(), labels.contiguous(), tasks.contiguous(),
                             sample_losses.detach().contiguous(), num_tasks);
  }
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
