// What the kernels compute, written a second time from the specification's equations: one token,
// one head, one expert after the other. Slow, float64, and blind to how core/kernels does it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "support/draw.h"

namespace cdsp::test {

/// x [n, d], weight [d].
at::Tensor loop_rms_norm(const at::Tensor& x, const at::Tensor& weight);

/// x [batch, positions, heads, d_head]; every adjacent pair through its own 2x2 rotation.
at::Tensor loop_rotary(const at::Tensor& x);

/// q [batch, positions, heads, d_head], k and v [batch, positions, kv_heads, d_head].
at::Tensor loop_causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

/// The k largest entries of each row, the largest first, the lowest column among equals: int64 [n,
/// k].
at::Tensor loop_top_k(const at::Tensor& logits, int64_t k);

/// Softmax of each row over its chosen columns, 0 elsewhere.
at::Tensor loop_softmax_over(const at::Tensor& logits, const at::Tensor& choices);

/// Spec section 4, expert after expert, each gathering the tokens that chose it and the columns
/// S_i. Expert i reads its own copies u[i] [d, D] and v[i] [D, d] of the backbone, so that
/// autograd's gradient of a copy is the gradient attributed to that expert. Differentiable.
at::Tensor loop_cdsp_layer(const at::Tensor& x, const at::Tensor& choices,
                           const at::Tensor& weights, const std::vector<at::Tensor>& u,
                           const std::vector<at::Tensor>& v, const at::Tensor& gate,
                           const IndexSets& columns);

/// Spec section 7, expert after expert. w1 [N, f, d], b1 [N, f], w2 [N, d, f], b2 [N, d].
/// Differentiable.
at::Tensor loop_standard_experts(const at::Tensor& x, const at::Tensor& choices,
                                 const at::Tensor& weights, const at::Tensor& w1,
                                 const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2);

}  // namespace cdsp::test
