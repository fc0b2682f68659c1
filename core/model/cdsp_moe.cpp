#include "model/cdsp_moe.h"

#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include "kernels/side_stream.h"
#include "model/topology.h"

namespace cdsp {

CdspMoe::CdspMoe(const Config& config, const std::string& prefix, const Initialiser& initialiser,
                 ParameterSet& parameters, Engine engine)
    : engine_(engine), precision_(config.train.precision), rank_(config.moe.resolved_rank()) {
  const int64_t d = config.model.d_model, d_base = config.moe.d_base;
  u_ = parameters.add(prefix + ".U", initialiser.orthogonal(prefix + ".U", d, d_base));
  v_ = parameters.add(prefix + ".V", initialiser.orthogonal(prefix + ".V", d_base, d));
  alpha_ = parameters.add(
      prefix + ".alpha",
      initialiser.topology(prefix + ".alpha", config.moe.num_experts, config.topology),
      ParameterGroup::kTopology);
}

at::Tensor CdspMoe::forward(const RoutedTokens& tokens, ConflictSite* site) const {
  const Topology topology = select_topology(alpha_, u_.size(1), rank_, engine_);
  std::shared_ptr<ExpertGradients> gradients;
  if (site != nullptr) {
    gradients = std::make_shared<ExpertGradients>();
    const at::Tensor counts = selection_counts(tokens.routing);
    const auto active = [counts]() -> AsideResults { return {counts.gt(0)}; };
    // The block programs' objective waits for it; the reference's knows no stream but its own.
    *site = {alpha_, topology.mask,
             uses_block_programs(engine_, counts.device())
                 ? run_aside(counts.get_device(), active)[0]
                 : active()[0],
             gradients};
  }
  return cdsp_layer(tokens.x, tokens.routing, u_, v_, topology.gate, topology.mask, gradients,
                    engine_, tokens.residual.view(tokens.x.sizes()), precision_)
      .view(tokens.residual.sizes());
}

class CdspMoe::Pass : public MoeLayerPass {
 public:
  explicit Pass(const CdspMoe& layer) : layer_(layer) {}

  at::Tensor forward(const RoutedTokens& tokens, ConflictSite* site) override {
    selected_ = select_topology_and_slope(layer_.alpha_, layer_.u_.size(1), layer_.rank_);
    const Topology& topology = selected_.topology;
    if (site != nullptr) {
      gradients_ = std::make_shared<ExpertGradients>();
      *site = {layer_.alpha_, topology.mask, selection_counts(tokens.routing).gt(0), gradients_};
    }
    layer_pass_.emplace(CdspLayerCpu::form_for(topology.mask, tokens.routing.indices.size(1)));
    return layer_pass_
        ->forward({tokens.residual, tokens.x, tokens.routing, layer_.u_, layer_.v_, topology.gate,
                   topology.mask},
                  /*keep=*/true)
        .view(tokens.residual.sizes());
  }

  RoutedGradients backward(const at::Tensor& upstream, const at::Tensor& d_alpha,
                           const at::Tensor& flat) override {
    CdspLayerGradients found =
        layer_pass_->backward(upstream, ParameterSet::stretch(flat, {layer_.u_, layer_.v_}));
    at::Tensor of_alpha = ParameterSet::stretch(flat, {layer_.alpha_}).view(layer_.alpha_.sizes());
    at::mul_out(of_alpha, selected_.slope, found.gate.unsqueeze(1));
    if (d_alpha.defined()) of_alpha.add_(d_alpha);
    if (gradients_) *gradients_ = std::move(found.experts);
    return std::move(found.tokens);
  }

 private:
  const CdspMoe& layer_;
  SelectedTopology selected_;
  std::optional<CdspLayerCpu> layer_pass_;
  std::shared_ptr<ExpertGradients> gradients_;
};

std::unique_ptr<MoeLayerPass> CdspMoe::new_pass() const { return std::make_unique<Pass>(*this); }

}  // namespace cdsp
