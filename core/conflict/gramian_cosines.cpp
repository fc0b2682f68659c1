#include "conflict/gramian_cosines.h"

#include <ATen/ATen.h>

namespace cdsp {
namespace {

/// dot += gradient's Gramian, column_norm2 += squared norms per expert and physical dimension.
/// gradient [N, ., .] with the physical dimension at position `dimension`.
void accumulate(const at::Tensor& gradient, int64_t dimension, at::Tensor& dot,
                at::Tensor& column_norm2) {
  const at::Tensor flat = gradient.reshape({gradient.size(0), -1});
  dot += at::mm(flat, flat.t());
  column_norm2 += gradient.square().sum(dimension == 1 ? 2 : 1);
}

}  // namespace

at::Tensor gramian_cosines(const ExpertGradients& gradients, const at::Tensor& mask,
                           ConflictGradient kind) {
  const int64_t experts = mask.size(0);
  at::Tensor dot = at::zeros({experts, experts}, mask.options());
  at::Tensor column_norm2 = at::zeros_like(mask);
  accumulate(gradients.u, 2, dot, column_norm2);
  if (kind == ConflictGradient::kUv) accumulate(gradients.v, 1, dot, column_norm2);

  const at::Tensor norm =
      at::mm(column_norm2, mask.t()).sqrt();  // [i, j]: ||g_i|| over S_i and S_j
  const at::Tensor cosine =
      dot / ((norm + kGradientNormEpsilon) * (norm.t() + kGradientNormEpsilon));
  const at::Tensor meets = at::mm(mask, mask.t()).gt(0);
  return at::where(meets, cosine, at::zeros_like(cosine));
}

}  // namespace cdsp
