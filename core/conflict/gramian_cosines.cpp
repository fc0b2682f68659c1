#include "conflict/gramian_cosines.h"

#include <ATen/ATen.h>

#include "kernels/expert_gramian.h"

namespace cdsp {

at::Tensor gramian_cosines(const ExpertGradients& gradients, const at::Tensor& mask,
                           ConflictGradient kind, Engine engine) {
  auto [dot, column_norm2] = expert_gramian(gradients.u, 2, engine);
  if (kind == ConflictGradient::kUv) {
    const ExpertGramian of_v = expert_gramian(gradients.v, 1, engine);
    dot += of_v.dot;
    column_norm2 += of_v.column_norm2;
  }
  const at::Tensor norm =
      norms_on_selections(column_norm2, mask, engine).sqrt();  // [i, j]: ||g_i|| over S_i and S_j
  const at::Tensor cosine =
      dot / ((norm + kGradientNormEpsilon) * (norm.t() + kGradientNormEpsilon));
  const at::Tensor meets = at::mm(mask, mask.t()).gt(0);
  return at::where(meets, cosine, at::zeros_like(cosine));
}

}  // namespace cdsp
