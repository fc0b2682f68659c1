// Inner products between the experts' gradients of one backbone matrix:
//
//   dot_ij = <G_i, G_j>        column_norm2_ic = ||G_i[c]||^2, c a physical dimension
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp {

struct ExpertGramian {
  at::Tensor dot;           // [N, N]
  at::Tensor column_norm2;  // [N, D]
};

/// gradient [N, d, D] (physical_dimension 2) or [N, D, d] (1).
ExpertGramian expert_gramian(const at::Tensor& gradient, int64_t physical_dimension,
                             Engine engine = Engine::kReference);

/// norm2_ij = sum over the dimensions c of S_j of column_norm2_ic: ||g_i||^2 on S_i and S_j [N, N].
/// mask [N, D] of the same dtype. Fused: added in an order of its own, where a library's product
/// may cut the sum by the number of threads.
at::Tensor norms_on_selections(const at::Tensor& column_norm2, const at::Tensor& mask,
                               Engine engine = Engine::kReference);

}  // namespace cdsp
