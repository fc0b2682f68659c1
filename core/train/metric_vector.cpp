#include "train/metric_vector.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "model/topology.h"
#include "train/metrics.h"

namespace cdsp {

StepVector metric_vector(const Objective& terms, const at::Tensor& grad_norm,
                         const ForwardResult& forward, const Batch& batch, int64_t num_tasks) {
  const auto options = at::TensorOptions().dtype(at::kDouble).device(forward.logits.device());
  at::Tensor sparsity = at::zeros({}, options), entropy = at::zeros({}, options);
  for (const ConflictSite& site : forward.sites) {
    sparsity = sparsity + alpha_sparsity(site.alpha) / static_cast<double>(forward.sites.size());
    entropy = entropy + structural_entropy(site.alpha);
  }
  const auto scalar = [](const at::Tensor& value) {
    return value.detach().to(at::kDouble).reshape({});
  };
  const at::Tensor scalars =
      at::stack({scalar(terms.total), scalar(terms.task), scalar(terms.conflict), scalar(terms.reg),
                 scalar(terms.balance), scalar(grad_norm), sparsity, entropy});
  StepVector result;
  result.task_sums =
      per_task_sums(forward.logits, batch.labels, batch.tasks, terms.sample_losses, num_tasks);
  result.whole = at::cat({scalars, result.task_sums});
  return result;
}

StepVector metric_vector_cpu(const Objective& terms, const at::Tensor& grad_norm,
                             const ForwardResult& forward, const Batch& batch, int64_t num_tasks) {
  TopologyNumbers topology{0.0, 0.0};
  for (const ConflictSite& site : forward.sites) {
    const TopologyNumbers layer = topology_numbers_cpu(site.alpha);
    topology.sparsity += layer.sparsity / static_cast<double>(forward.sites.size());
    topology.entropy += layer.entropy;
  }
  StepVector result;
  result.task_sums =
      per_task_sums(forward.logits, batch.labels, batch.tasks, terms.sample_losses, num_tasks);
  result.whole = at::empty({metric_slot::kScalars + result.task_sums.numel()}, at::kDouble);
  double* slot = result.whole.data_ptr<double>();
  slot[metric_slot::kLossTotal] = terms.total.item<double>();
  slot[metric_slot::kLossTask] = terms.task.item<double>();
  slot[metric_slot::kLossConflict] = terms.conflict.item<double>();
  slot[metric_slot::kLossReg] = terms.reg.item<double>();
  slot[metric_slot::kLossBalance] = terms.balance.item<double>();
  slot[metric_slot::kGradNorm] = grad_norm.item<double>();
  slot[metric_slot::kAlphaSparsity] = topology.sparsity;
  slot[metric_slot::kStructuralEntropy] = topology.entropy;
  std::copy_n(result.task_sums.data_ptr<double>(), result.task_sums.numel(),
              slot + metric_slot::kScalars);
  return result;
}

}  // namespace cdsp
