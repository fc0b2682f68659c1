// The signal that the lagged game keeps of a step, by one pass over the experts' gradients
// (gramian_cosines.h and LaggedGame::store in one; paper Eq. 13 to 15):
//
//   L_ij = ReLU(-cos(g_i, g_j)) over S_i and S_j;  0 unless both were active, share something, i !=
//   j
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/cdsp_layer.h"

namespace cdsp {

/// gradients u [N, d, D] and v [N, D, d], mask [N, D] of the same dtype, active bool [N], all on
/// one device -> written to lagged [N, N].
void write_lagged_signal(const ExpertGradients& gradients, const at::Tensor& mask,
                         const at::Tensor& active, ConflictGradient kind, const at::Tensor& lagged);

}  // namespace cdsp
