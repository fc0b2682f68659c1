// Causal grouped-query attention (Ainslie et al., arXiv:2305.13245) over short sequences:
//
//   y_j = softmax(q_j k_g^T / sqrt(d_head) + causal) v_g,     g = j / (heads / kv_heads)
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// q [batch, positions, heads, d_head], k and v [batch, positions, kv_heads, d_head]
/// -> [batch, positions, heads, d_head]. heads is a multiple of kv_heads. Differentiable.
/// `future` [positions, positions] is true where a query may not look: causal_mask().
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& future);

/// True above the diagonal.
at::Tensor causal_mask(int64_t positions, at::Device device);

}  // namespace cdsp
