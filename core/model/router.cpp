#include "model/router.h"

namespace cdsp {

Router::Router(const Config& config, int64_t tasks, const std::string& prefix,
               const Initialiser& initialiser, ParameterSet& parameters, Engine engine)
    : top_k_(config.moe.top_k), norm_(config.router.norm), engine_(engine) {
  const int64_t experts = config.moe.num_experts, width = config.router.task_embedding;
  const int64_t fan_in = config.model.d_model + width;
  const auto add_linear = [&](const std::string& name, at::IntArrayRef shape) {
    return parameters.add(name, initialiser.linear(name, shape, fan_in));
  };
  weights_.weight = add_linear(prefix + ".router.weight", {experts, fan_in});
  weights_.bias = add_linear(prefix + ".router.bias", {experts});
  const std::string embedding = prefix + ".task_embedding.weight";
  weights_.task_embedding = parameters.add(embedding, initialiser.normal(embedding, {tasks, width}),
                                           ParameterGroup::kBase, ParameterInput::kTask);
}

RoutedTokens Router::route(const at::Tensor& h, const at::Tensor& norm,
                           const at::Tensor& task_one_hot, bool with_probabilities) const {
  return normalise_and_route(h, norm, weights_, task_one_hot, {top_k_, norm_, with_probabilities},
                             engine_);
}

ImageWork Router::route(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& task_one_hot,
                        bool with_probabilities, NormaliseAndRouteCpu& pass) const {
  return pass.forward(h, norm, weights_, task_one_hot, {top_k_, norm_, with_probabilities});
}

ImageWork Router::backward(const NormaliseAndRouteCpu& pass, const RoutedGradients& upstream,
                           const at::Tensor& norm, const at::Tensor& flat) const {
  const at::Tensor gradient =
      ParameterSet::stretch(flat, {norm, weights_.weight, weights_.bias, weights_.task_embedding});
  const int64_t reached = pass.parameters();
  gradient.narrow(0, reached, gradient.numel() - reached).zero_();
  return pass.backward(upstream, gradient);
}

}  // namespace cdsp
