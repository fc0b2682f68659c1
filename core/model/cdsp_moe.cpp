#include "model/cdsp_moe.h"

#include <ATen/ATen.h>

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
    *site = {alpha_, topology.mask, selection_counts(tokens.routing).gt(0), gradients};
  }
  return cdsp_layer(tokens.x, tokens.routing, u_, v_, topology.gate, topology.mask, gradients,
                    engine_, tokens.residual.view(tokens.x.sizes()), precision_)
      .view(tokens.residual.sizes());
}

}  // namespace cdsp
