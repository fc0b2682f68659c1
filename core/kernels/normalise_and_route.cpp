#include "kernels/normalise_and_route.h"

#include <ATen/ATen.h>

#include "kernels/rms_norm.h"

namespace cdsp {

at::Tensor normalise_router_input(const at::Tensor& x, RouterNorm norm) {
  const at::IntArrayRef shape =
      norm == RouterNorm::kToken ? x.sizes().slice(2) : x.sizes().slice(1);
  return at::layer_norm(x, shape, {}, {}, kLayerNormEpsilon);
}

namespace {

/// The routing of the tokens of x [batch, positions, d].
Routing route_tokens(const at::Tensor& x, const RouterWeights& weights,
                     const at::Tensor& task_one_hot, const RouterRequest& request) {
  const int64_t batch = x.size(0), positions = x.size(1), d = x.size(2);
  const int64_t experts = weights.weight.size(0), width = weights.weight.size(1) - d;
  const at::Tensor tokens = normalise_router_input(x, request.norm).reshape({batch * positions, d});
  // W_g [x, v] = W_x x + W_v v: the second half is the same for every token of an image.
  at::Tensor logits = at::addmm(weights.bias, tokens, weights.weight.narrow(1, 0, d).t());
  if (task_one_hot.defined()) {
    const at::Tensor task_logits = at::mm(at::mm(task_one_hot, weights.task_embedding),
                                          weights.weight.narrow(1, d, width).t());
    logits = (logits.view({batch, positions, experts}) + task_logits.unsqueeze(1))
                 .view({batch * positions, experts});
  }
  return route_top_k(logits, request.top_k, request.with_probabilities);
}

}  // namespace

RoutedTokens normalise_and_route(const at::Tensor& h, const at::Tensor& norm,
                                 const RouterWeights& weights, const at::Tensor& task_one_hot,
                                 const RouterRequest& request, Engine engine) {
  if (engine == Engine::kFused && h.device().is_cpu()) {
    return normalise_and_route_cpu(h, norm, weights, task_one_hot, request);
  }
  if (uses_block_programs(engine, h.device())) {
    return normalise_and_route_cuda(h, norm, weights, task_one_hot, request);
  }
  const at::Tensor x = rms_norm(h, norm);
  return {h, x.reshape({-1, h.size(2)}), route_tokens(x, weights, task_one_hot, request)};
}

}  // namespace cdsp
