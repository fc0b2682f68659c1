#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/penalty.h"

namespace cdsp {

TopologyTerms topology_terms_cpu(const at::Tensor& alpha_in, const at::Tensor& conflict_in,
                                 const ConflictConfig& config) {
  const at::Tensor alpha = alpha_in.contiguous(), conflict = conflict_in.contiguous();
  TopologyTerms terms{0.0, 0.0, at::empty(alpha.sizes(), conflict.options())};
  AT_DISPATCH_FLOATING_TYPES(alpha.scalar_type(), "topology_terms", [&] {
    const scalar_t *logit = alpha.data_ptr<scalar_t>(), *pair = conflict.data_ptr<scalar_t>();
    scalar_t* gradient = terms.gradient.data_ptr<scalar_t>();
    const int64_t links = alpha.numel();
    const auto count = static_cast<scalar_t>(links), one = scalar_t(1);
    const auto lambda = static_cast<scalar_t>(config.lambda), l1 = static_cast<scalar_t>(config.l1),
               determinism = static_cast<scalar_t>(config.determinism);
    double size = 0.0, doubt = 0.0;  // sums of |A| and of sigma(A)(1 - sigma(A))
    for (int64_t i = 0; i < links; ++i) {
      const scalar_t a = logit[i], strength = one / (one + std::exp(-a));
      const scalar_t variance = strength * (one - strength);
      const auto penalty = penalty_at(a, strength, config.penalty);
      const auto sign = static_cast<scalar_t>((a > 0) - (a < 0));
      terms.conflict += static_cast<double>(penalty.value * pair[i]);
      size += std::abs(static_cast<double>(a));
      doubt += static_cast<double>(variance);
      gradient[i] = lambda * penalty.slope * pair[i] + l1 * sign / count +
                    determinism * variance * (one - strength - strength) / count;
    }
    terms.reg = (config.l1 * size + config.determinism * doubt) / static_cast<double>(links);
  });
  return terms;
}

}  // namespace cdsp
