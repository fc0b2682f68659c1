// The CDSP layer: experts as overlapping selections of one shared backbone U, V, chosen by the
// topology logits A (paper Eq. 1 to 9). topology.h selects, kernels/cdsp_layer.h computes.
#pragma once

#include "model/moe_layer.h"

namespace cdsp {

class CdspMoe : public MoeLayer {
 public:
  /// Adds PREFIX.U [d, D], PREFIX.V [D, d] and PREFIX.alpha [N, N].
  CdspMoe(const Config& config, const std::string& prefix, const Initialiser& initialiser,
          ParameterSet& parameters, Engine engine);
  at::Tensor forward(const RoutedTokens& tokens, ConflictSite* site) const override;
  std::unique_ptr<MoeLayerPass> new_pass() const override;
  at::Tensor alpha() const override { return alpha_; }

 private:
  class Pass;

  Engine engine_;
  Precision precision_;
  int64_t rank_;
  at::Tensor u_, v_, alpha_;
};

}  // namespace cdsp
