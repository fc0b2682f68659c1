// The attention half of a block (spec section 2), from residual stream to residual stream:
//
//   x = rms_norm(h, w);  (q, k, v) = (Wq, Wk, Wv) x
//   y = h + Wo causal_attention(rotary(q), rotary(k), v)
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "kernels/image_work.h"

namespace cdsp {

struct AttentionWeights {
  at::Tensor norm;            // [d]
  at::Tensor wq, wk, wv, wo;  // [d, d], [kv_heads * d_head, d] twice, [d, d]
};

/// What does not learn.
struct AttentionLayout {
  int64_t heads, kv_heads;
  at::Tensor turns;                        // as rotary_turns() makes them
  at::Tensor future;                       // as causal_mask() does
  Precision precision = Precision::kFull;  // of the projections, by block programs only
};

/// h [batch, positions, d] -> the same shape. Differentiable in h and the weights.
at::Tensor attention_block(const at::Tensor& h, const AttentionWeights& weights,
                           const AttentionLayout& layout, Engine engine = Engine::kReference);

/// Engine::kFused on the host: an image at a time, everything in the caches. Differentiable.
at::Tensor attention_block_cpu(const at::Tensor& h, const AttentionWeights& weights,
                               const AttentionLayout& layout);

/// What that is made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class AttentionBlockCpu {
 public:
  /// -> y. `keep`: for a backward pass.
  ImageWork forward(const at::Tensor& h, const AttentionWeights& weights,
                    const AttentionLayout& layout, bool keep);
  /// dL/dy -> dL/dh. Sets `gradient` [parameters()]: the weights', flat, in the order of
  /// AttentionWeights.
  ImageWork backward(const at::Tensor& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const;

 private:
  int64_t heads_ = 0, kv_heads_ = 0;
  at::Tensor h_, norm_, wqkv_, wo_, turns_;  // turns as (cos, sin) pairs
  at::Tensor qkv_, mixed_, statistics_;      // of every image
};

}  // namespace cdsp
