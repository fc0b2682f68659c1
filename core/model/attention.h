// The attention of a block: projections without biases, rotary, causal grouped-query attention.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "model/initialisation.h"
#include "model/parameters.h"

namespace cdsp {

class Attention {
 public:
  /// Adds PREFIX.{wq,wo}.weight [d, d] and PREFIX.{wk,wv}.weight [kv_heads * d_head, d].
  Attention(const Config& config, int64_t positions, const std::string& prefix,
            const Initialiser& initialiser, ParameterSet& parameters, Engine engine);
  /// x [batch, positions, d] -> the same shape.
  at::Tensor forward(const at::Tensor& x) const;

 private:
  int64_t heads_, kv_heads_;
  Engine engine_;
  at::Tensor wq_, wk_, wv_, wo_;
  at::Tensor turns_;   // rotary, [positions, d_head / 2]
  at::Tensor future_;  // causal mask, [positions, positions]
};

}  // namespace cdsp
