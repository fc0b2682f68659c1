#include "model/standard_moe.h"

#include <ATen/ATen.h>

#include "kernels/standard_experts.h"

namespace cdsp {

StandardMoe::StandardMoe(const Config& config, const std::string& prefix,
                         const Initialiser& initialiser, ParameterSet& parameters, Engine engine)
    : engine_(engine), precision_(config.train.precision) {
  const int64_t experts = config.moe.num_experts, d = config.model.d_model,
                hidden = config.moe.d_ffn;
  const auto add_linear = [&](const char* suffix, at::IntArrayRef shape, int64_t fan_in) {
    const std::string name = prefix + ".experts." + suffix;
    return parameters.add(name, initialiser.linear(name, shape, fan_in));
  };
  w1_ = add_linear("w1", {experts, hidden, d}, d);
  b1_ = add_linear("b1", {experts, hidden}, d);
  w2_ = add_linear("w2", {experts, d, hidden}, hidden);
  b2_ = add_linear("b2", {experts, d}, hidden);
}

at::Tensor StandardMoe::forward(const RoutedTokens& tokens, ConflictSite*) const {
  return standard_experts(tokens.x, tokens.routing, w1_, b1_, w2_, b2_, engine_,
                          tokens.residual.view(tokens.x.sizes()), precision_)
      .view(tokens.residual.sizes());
}

class StandardMoe::Pass : public MoeLayerPass {
 public:
  explicit Pass(const StandardMoe& layer) : layer_(layer) {}

  at::Tensor forward(const RoutedTokens& tokens, ConflictSite*) override {
    return experts_
        .forward(tokens.x, tokens.routing, layer_.w1_, layer_.b1_, layer_.w2_, layer_.b2_,
                 tokens.residual, /*keep=*/true)
        .view(tokens.residual.sizes());
  }

  RoutedGradients backward(const at::Tensor& upstream, const at::Tensor&,
                           const at::Tensor& flat) override {
    return experts_.backward(
        upstream, ParameterSet::stretch(flat, {layer_.w1_, layer_.b1_, layer_.w2_, layer_.b2_}));
  }

 private:
  const StandardMoe& layer_;
  StandardExpertsCpu experts_;
};

std::unique_ptr<MoeLayerPass> StandardMoe::new_pass() const {
  return std::make_unique<Pass>(*this);
}

}  // namespace cdsp
