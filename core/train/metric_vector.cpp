#include "train/metric_vector.h"

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

}  // namespace cdsp
