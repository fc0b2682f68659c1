#include "kernels/rms_norm.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, Engine engine) {
  if (uses_block_programs(engine, x.device())) return norm_beside_residual_cuda(x, weight).normed;
  const at::Tensor inverse_rms = at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + kRmsNormEpsilon);
  return x * inverse_rms * weight;
}

NormedStream norm_beside_residual(const at::Tensor& x, const at::Tensor& weight, Engine engine) {
  if (uses_block_programs(engine, x.device())) return norm_beside_residual_cuda(x, weight);
  return {rms_norm(x, weight, engine), x};
}

}  // namespace cdsp
