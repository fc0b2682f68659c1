#include "conflict/lagged_game.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/gramian_cosines.h"

namespace cdsp {
namespace {

/// [N, N]: 1 where both experts are in the set, 0 elsewhere and on the diagonal.
at::Tensor pairs_within(const at::Tensor& members, at::ScalarType dtype) {
  const at::Tensor both = members.unsqueeze(0).logical_and(members.unsqueeze(1)).to(dtype);
  return both.tril(-1) + both.triu(1);
}

/// The same times `signal`, pair by pair on the host.
at::Tensor masked_to_pairs(const at::Tensor& signal, const at::Tensor& members) {
  const int64_t experts = signal.size(0);
  at::Tensor masked = at::empty({experts, experts}, signal.options());
  const bool* is_member = members.data_ptr<bool>();
  AT_DISPATCH_FLOATING_TYPES(signal.scalar_type(), "masked_to_pairs", [&] {
    const scalar_t* from = signal.data_ptr<scalar_t>();
    scalar_t* to = masked.data_ptr<scalar_t>();
    for (int64_t i = 0; i < experts; ++i) {
      for (int64_t j = 0; j < experts; ++j) {
        const bool counts = i != j && is_member[i] && is_member[j];
        // A product, so that what is not finite shows.
        to[i * experts + j] = from[i * experts + j] * (counts ? scalar_t(1) : scalar_t(0));
      }
    }
  });
  return masked;
}

}  // namespace

at::Tensor LaggedGame::conflict(const ConflictSite& site) const {
  if (!lagged_.defined()) return at::zeros_like(site.alpha.detach());
  if (is_on_host(site)) return masked_to_pairs(lagged_.contiguous(), site.active.contiguous());
  return lagged_ * pairs_within(site.active, lagged_.scalar_type());
}

void LaggedGame::store(const ConflictSite& site) {
  const at::Tensor cosine = gramian_cosines(*site.gradients, site.mask, gradient_, engine_);
  if (is_on_host(site)) {
    lagged_ = masked_to_pairs(at::relu(cosine.neg()), site.active.contiguous());
  } else {
    lagged_ = at::relu(-cosine) * pairs_within(site.active, cosine.scalar_type());
  }
}

bool LaggedGame::is_on_host(const ConflictSite& site) const {
  return engine_ == Engine::kFused && site.alpha.device().is_cpu();
}

}  // namespace cdsp
