// The attention half of a block: its norm, projections without biases, rotary, causal grouped-query
// attention, and what it adds to. kernels/attention_block.h computes.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/attention_block.h"
#include "model/initialisation.h"
#include "model/parameters.h"

namespace cdsp {

class Attention {
 public:
  /// Adds PREFIX.norm1.weight [d], PREFIX.attn.{wq,wo}.weight [d, d] and
  /// PREFIX.attn.{wk,wv}.weight [kv_heads * d_head, d].
  Attention(const Config& config, int64_t positions, const std::string& prefix,
            const Initialiser& initialiser, ParameterSet& parameters, Engine engine);
  /// h [batch, positions, d] -> h + attention(rms_norm(h)).
  at::Tensor forward(const at::Tensor& h) const;

  /// The same by a pass of the fused engine on the host, and back: dL/dy -> dL/dh, the weights'
  /// gradients going to their stretch of `flat`, a vector like ParameterSet::flat().
  ImageWork forward(const at::Tensor& h, AttentionBlockCpu& pass) const;
  ImageWork backward(const AttentionBlockCpu& pass, const at::Tensor& upstream,
                     const at::Tensor& flat) const;

 private:
  Engine engine_;
  AttentionWeights weights_;
  AttentionLayout layout_;
};

}  // namespace cdsp
