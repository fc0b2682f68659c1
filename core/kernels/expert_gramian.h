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

}  // namespace cdsp
