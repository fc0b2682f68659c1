#include "train/balance_loss.h"

#include <ATen/ATen.h>

namespace cdsp {
namespace {

at::Tensor switch_loss(const Routing& routing) {
  const at::Tensor counts = selection_counts(routing);
  const at::Tensor share = counts / static_cast<double>(routing.indices.numel());
  return (share * routing.probabilities.mean(0)).sum() * static_cast<double>(counts.size(0));
}

at::Tensor squared_variation_coefficient(const Routing& routing) {
  const at::Tensor counts = selection_counts(routing);
  if (counts.size(0) == 1)
    return at::zeros({}, counts.options());  // N - 1 = 0: one expert is balanced
  return (counts.std(/*unbiased=*/true) / (counts.mean() + 1e-6)).square();
}

}  // namespace

at::Tensor balance_loss(const Routing& routing, BalanceKind kind) {
  return kind == BalanceKind::kSwitch ? switch_loss(routing)
                                      : squared_variation_coefficient(routing);
}

}  // namespace cdsp
