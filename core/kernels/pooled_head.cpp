#include "kernels/pooled_head.h"

#include <ATen/ATen.h>

#include "kernels/rms_norm.h"

namespace cdsp {

at::Tensor pooled_head(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                       const at::Tensor& bias, Engine engine) {
  if (engine == Engine::kFused && h.device().is_cpu())
    return pooled_head_cpu(h, norm, weight, bias);
  if (uses_block_programs(engine, h.device())) return pooled_head_cuda(h, norm, weight, bias);
  // The head is linear, so the mean of the token logits is the head of the mean token.
  const at::Tensor pooled = rms_norm(h, norm).mean(1);
  return bias.defined() ? at::addmm(bias, pooled, weight.t()) : at::mm(pooled, weight.t());
}

}  // namespace cdsp
