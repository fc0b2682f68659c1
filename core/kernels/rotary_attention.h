// Rotary turns and causal grouped-query attention on the packed projections of a block:
//
//   (q, k, v) = qkv;   y = causal_attention(rotary(q), rotary(k), v)
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp {

/// qkv [batch, positions, (heads + 2 kv_heads) * d_head], heads of q first, then k, then v;
/// turns as rotary_turns() makes them, future as causal_mask() does.
/// Returns [batch, positions, heads * d_head]. Differentiable in qkv. The host's fused engine has
/// it inside attention_block_cpu.
at::Tensor rotary_attention(const at::Tensor& qkv, int64_t heads, int64_t kv_heads,
                            const at::Tensor& turns, const at::Tensor& future,
                            Engine engine = Engine::kReference);

/// The block programs of rotary_attention_blocks.h, on a GPU or emulated; d_head is at most
/// kWidestCudaHead (model/network.h, resolve_engine).
at::Tensor rotary_attention_cuda(const at::Tensor& qkv, int64_t heads, int64_t kv_heads,
                                 const at::Tensor& turns);
inline constexpr int kWidestCudaHead = 128;

}  // namespace cdsp
