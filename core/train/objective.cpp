#include "train/objective.h"

#include <ATen/ATen.h>

#include "conflict/penalty.h"
#include "train/balance_loss.h"

namespace cdsp {

at::Tensor cross_entropy_per_image(const at::Tensor& logits, const at::Tensor& labels) {
  return at::nll_loss(at::log_softmax(logits, -1), labels, {}, at::Reduction::None);
}

Objective objective(const Config& config, const ForwardResult& forward, const at::Tensor& labels,
                    const std::vector<at::Tensor>& conflicts) {
  const at::Tensor sample_losses = cross_entropy_per_image(forward.logits, labels);
  const at::Tensor zero = at::zeros({}, forward.logits.options().requires_grad(false));
  Objective result{{}, sample_losses.mean(), zero, zero, zero, sample_losses.detach()};
  if (config.variant == Variant::kCdsp) {
    for (size_t layer = 0; layer < forward.sites.size(); ++layer) {
      const at::Tensor& alpha = forward.sites[layer].alpha;
      result.conflict =
          result.conflict + conflict_loss(alpha, conflicts[layer], config.conflict.penalty);
      result.reg = result.reg + topology_regulariser(alpha, config.conflict);
    }
    result.total = result.task + result.conflict * config.conflict.lambda + result.reg;
  } else {
    for (const Routing& routing : forward.routing) {
      result.balance = result.balance + balance_loss(routing, config.balance.kind);
    }
    result.total = result.task + result.balance * config.balance.lambda;
  }
  return result;
}

}  // namespace cdsp
