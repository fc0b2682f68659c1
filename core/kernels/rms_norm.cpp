#include "kernels/rms_norm.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, Engine engine) {
  if (uses_block_programs(engine, x.device())) return rms_norm_cuda(x, weight);
  const at::Tensor inverse_rms = at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + kRmsNormEpsilon);
  return x * inverse_rms * weight;
}

}  // namespace cdsp
