#include "conflict/gramian_cosines.h"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/expert_gramian.h"

namespace cdsp {

namespace {

/// norms2 [i, j]: ||g_i||^2 over S_j; meetings [i, j]: columns that S_i and S_j share.
at::Tensor cosines_cpu(const at::Tensor& dot, const at::Tensor& norms2,
                       const at::Tensor& meetings) {
  const int64_t experts = dot.size(0);
  at::Tensor cosines = at::empty_like(dot);
  AT_DISPATCH_FLOATING_TYPES(dot.scalar_type(), "gramian_cosines", [&] {
    const scalar_t *product = dot.data_ptr<scalar_t>(), *norm2 = norms2.data_ptr<scalar_t>(),
                   *shared = meetings.data_ptr<scalar_t>();
    scalar_t* to = cosines.data_ptr<scalar_t>();
    constexpr auto kEpsilon = static_cast<scalar_t>(kGradientNormEpsilon);
    for (int64_t i = 0; i < experts; ++i) {
      for (int64_t j = 0; j < experts; ++j) {
        const int64_t at = i * experts + j, turned = j * experts + i;
        const scalar_t both =
            (std::sqrt(norm2[at]) + kEpsilon) * (std::sqrt(norm2[turned]) + kEpsilon);
        to[at] = shared[at] > scalar_t(0) ? product[at] / both : scalar_t(0);
      }
    }
  });
  return cosines;
}

}  // namespace

at::Tensor gramian_cosines(const ExpertGradients& gradients, const at::Tensor& mask,
                           ConflictGradient kind, Engine engine) {
  auto [dot, column_norm2] = expert_gramian(gradients.u, 2, engine);
  if (kind == ConflictGradient::kUv) {
    const ExpertGramian of_v = expert_gramian(gradients.v, 1, engine);
    dot += of_v.dot;
    column_norm2 += of_v.column_norm2;
  }
  const at::Tensor norms2 =
      norms_on_selections(column_norm2, mask, engine);  // [i, j]: ||g_i||^2 over S_i and S_j
  if (engine == Engine::kFused && dot.device().is_cpu())
    return cosines_cpu(dot, norms2, norms_on_selections(mask, mask, engine));
  const at::Tensor norm = norms2.sqrt();
  const at::Tensor cosine =
      dot / ((norm + kGradientNormEpsilon) * (norm.t() + kGradientNormEpsilon));
  const at::Tensor meets = at::mm(mask, mask.t()).gt(0);
  return at::where(meets, cosine, at::zeros_like(cosine));
}

}  // namespace cdsp
