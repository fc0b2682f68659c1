// Cosines between per-expert gradients over the physical dimensions two experts share (paper Eq.
// 14, 15), for all pairs at once, by Gramian.
//
// With G_i the gradient of expert i, zero outside S_i:   <G_i, G_j> is already the sum over S_i and
// S_j, so G G^T holds every dot product; and ||g_i||^2 over S_j is (column-wise ||g_i||^2) . M_j.
// Two small products give every cosine; no intersection is ever formed.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/cdsp_layer.h"

namespace cdsp {

inline constexpr double kGradientNormEpsilon = 1e-8;  // added to each norm

/// gradients u [N, d, D] and v [N, D, d], zero outside S_i; mask [N, D].
/// `uv` takes a physical dimension as its U column and V row together (paper), `u` the U column
/// alone (released code). Returns [N, N] cosines; 0 where S_i and S_j do not meet. The diagonal is
/// ~1.
at::Tensor gramian_cosines(const ExpertGradients& gradients, const at::Tensor& mask,
                           ConflictGradient kind, Engine engine = Engine::kReference);

}  // namespace cdsp
