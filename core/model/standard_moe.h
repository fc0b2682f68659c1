// The standard MoE layer of `baseline` and `blind`: N independent two-layer experts of hidden width
// d_ffn (spec section 7). kernels/standard_experts.h computes.
#pragma once

#include "model/moe_layer.h"

namespace cdsp {

class StandardMoe : public MoeLayer {
 public:
  /// Adds PREFIX.experts.{w1 [N, f, d], b1 [N, f], w2 [N, d, f], b2 [N, d]}.
  StandardMoe(const Config& config, const std::string& prefix, const Initialiser& initialiser,
              ParameterSet& parameters, Engine engine);
  at::Tensor forward(const RoutedTokens& tokens, ConflictSite* site) const override;
  std::unique_ptr<MoeLayerPass> new_pass() const override;

 private:
  class Pass;

  Engine engine_;
  Precision precision_;
  at::Tensor w1_, b1_, w2_, b2_;
};

}  // namespace cdsp
