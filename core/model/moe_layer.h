// What a block needs of its mixture-of-experts layer; cdsp_moe.h and standard_moe.h are the two
// kinds.
#pragma once

#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/cdsp_layer.h"
#include "kernels/normalise_and_route.h"
#include "model/initialisation.h"
#include "model/parameters.h"

namespace cdsp {

/// What the conflict game needs to know of one CDSP layer at one step.
struct ConflictSite {
  at::Tensor alpha;                            // [N, N] the logits themselves, differentiable
  at::Tensor mask;                             // [N, D] this step's selection
  at::Tensor active;                           // [N] bool: at least one token selected the expert
  std::shared_ptr<ExpertGradients> gradients;  // filled by the backward pass
};

/// One time through a layer by the fused engine on the host, and back.
class MoeLayerPass {
 public:
  virtual ~MoeLayerPass() = default;
  /// As MoeLayer::forward().
  virtual at::Tensor forward(const RoutedTokens& tokens, ConflictSite* site) = 0;
  /// dL/dy [batch, positions, d] -> those of residual, x and routing.weights. The gradients of the
  /// layer's parameters go to their stretches of `flat`, a vector like ParameterSet::flat();
  /// `d_alpha` [N, N], or undefined, is what the objective itself adds to that of the topology.
  virtual RoutedGradients backward(const at::Tensor& upstream, const at::Tensor& d_alpha,
                                   const at::Tensor& flat) = 0;
};

class MoeLayer {
 public:
  virtual ~MoeLayer() = default;
  /// The residual [batch, positions, d] plus the layer's answer to x. If `site` is given and the
  /// layer has a topology, describes the layer there for the conflict game.
  virtual at::Tensor forward(const RoutedTokens& tokens, ConflictSite* site) const = 0;
  virtual std::unique_ptr<MoeLayerPass> new_pass() const = 0;
  /// Topology logits [N, N], or undefined for a layer without a topology.
  virtual at::Tensor alpha() const { return {}; }
};

/// The layer of the config's variant; adds its parameters, named PREFIX.*.
std::unique_ptr<MoeLayer> make_moe_layer(const Config& config, const std::string& prefix,
                                         const Initialiser& initialiser, ParameterSet& parameters,
                                         Engine engine);

}  // namespace cdsp
