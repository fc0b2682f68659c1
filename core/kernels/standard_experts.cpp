#include "kernels/standard_experts.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor standard_experts(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                            const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                            Engine engine, const at::Tensor& residual, Precision precision) {
  if (uses_block_programs(engine, x.device())) {
    return standard_experts_cuda(x, routing, w1, b1, w2, b2, residual, precision);
  }
  if (engine == Engine::kFused && x.device().is_cpu())
    return standard_experts_cpu(x, routing, w1, b1, w2, b2, residual);
  const int64_t tokens = x.size(0), experts = w1.size(0), hidden_width = w1.size(1), d = w1.size(2);
  const at::Tensor& weights = routing.weights;
  const at::Tensor pre_activation =
      at::addmm(b1.reshape({-1}), x, w1.reshape({experts * hidden_width, d}).t());
  const at::Tensor hidden = at::silu(pre_activation).view({tokens, experts, hidden_width});
  const at::Tensor weighted =
      (hidden * weights.unsqueeze(2)).view({tokens, experts * hidden_width});
  const at::Tensor w2_rows = w2.permute({0, 2, 1}).reshape({experts * hidden_width, d});
  const at::Tensor y = at::mm(weighted, w2_rows) + at::mm(weights, b2);
  return residual.defined() ? residual + y : y;
}

}  // namespace cdsp
