#include "kernels/attention_block.h"

#include <ATen/ATen.h>

#include "kernels/matrix_product.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary_attention.h"

namespace cdsp {

at::Tensor attention_block(const at::Tensor& h, const AttentionWeights& weights,
                           const AttentionLayout& layout, Engine engine) {
  if (engine == Engine::kFused && h.device().is_cpu()) {
    return attention_block_cpu(h, weights, layout);
  }
  const int64_t batch = h.size(0), positions = h.size(1), d = h.size(2);
  const NormedStream stream = norm_beside_residual(h, weights.norm, engine);
  const at::Tensor tokens = stream.normed.reshape({batch * positions, d});
  const at::Tensor projections =
      projected(tokens, at::cat({weights.wq, weights.wk, weights.wv}), layout.precision)
          .view({batch, positions, -1});
  const at::Tensor mixed = rotary_attention(projections, layout.heads, layout.kv_heads,
                                            layout.turns, layout.future, engine);
  return stream.residual +
         projected(mixed.view({batch * positions, d}), weights.wo, layout.precision)
             .view({batch, positions, d});
}

}  // namespace cdsp
