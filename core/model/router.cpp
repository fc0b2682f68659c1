#include "model/router.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor normalise_router_input(const at::Tensor& x, RouterNorm norm) {
  const at::IntArrayRef shape =
      norm == RouterNorm::kToken ? x.sizes().slice(2) : x.sizes().slice(1);
  return at::layer_norm(x, shape, {}, {}, kLayerNormEpsilon);
}

Router::Router(const Config& config, int64_t tasks, const std::string& prefix,
               const Initialiser& initialiser, ParameterSet& parameters, Engine engine)
    : top_k_(config.moe.top_k), norm_(config.router.norm), engine_(engine) {
  const int64_t experts = config.moe.num_experts, width = config.router.task_embedding;
  const int64_t fan_in = config.model.d_model + width;
  const auto add_linear = [&](const std::string& name, at::IntArrayRef shape) {
    return parameters.add(name, initialiser.linear(name, shape, fan_in));
  };
  weight_ = add_linear(prefix + ".router.weight", {experts, fan_in});
  bias_ = add_linear(prefix + ".router.bias", {experts});
  const std::string embedding = prefix + ".task_embedding.weight";
  task_embedding_ = parameters.add(embedding, initialiser.normal(embedding, {tasks, width}));
}

Routing Router::route(const at::Tensor& x, const at::Tensor& task_one_hot,
                      bool with_probabilities) const {
  const int64_t batch = x.size(0), positions = x.size(1), d = x.size(2);
  const int64_t experts = weight_.size(0), width = weight_.size(1) - d;
  const at::Tensor tokens = normalise_router_input(x, norm_).reshape({batch * positions, d});
  // W_g [x, v] = W_x x + W_v v: the second half is the same for every token of an image.
  at::Tensor logits = at::addmm(bias_, tokens, weight_.narrow(1, 0, d).t());
  if (task_one_hot.defined()) {
    const at::Tensor task_logits =
        at::mm(at::mm(task_one_hot, task_embedding_), weight_.narrow(1, d, width).t());
    logits = (logits.view({batch, positions, experts}) + task_logits.unsqueeze(1))
                 .view({batch * positions, experts});
  }
  return route_top_k(logits, top_k_, with_probabilities, engine_);
}

}  // namespace cdsp
