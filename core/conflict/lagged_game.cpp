#include "conflict/lagged_game.h"

#include <ATen/ATen.h>

#include "conflict/gramian_cosines.h"

namespace cdsp {
namespace {

/// [N, N]: 1 where both experts are in the set, 0 elsewhere and on the diagonal.
at::Tensor pairs_within(const at::Tensor& members, at::ScalarType dtype) {
  const at::Tensor both = members.unsqueeze(0).logical_and(members.unsqueeze(1)).to(dtype);
  return both.tril(-1) + both.triu(1);
}

}  // namespace

at::Tensor LaggedGame::conflict(const ConflictSite& site) const {
  if (!lagged_.defined()) return at::zeros_like(site.alpha.detach());
  return lagged_ * pairs_within(site.active, lagged_.scalar_type());
}

void LaggedGame::store(const ConflictSite& site) {
  const at::Tensor cosine = gramian_cosines(*site.gradients, site.mask, gradient_, engine_);
  lagged_ = at::relu(-cosine) * pairs_within(site.active, cosine.scalar_type());
}

}  // namespace cdsp
