// The signal that the lagged game keeps of a step, by one pass over the experts' gradients of all
// layers (gramian_cosines.h and LaggedGame::store in one; paper Eq. 13 to 15):
//
//   L_ij = ReLU(-cos(g_i, g_j)) over S_i and S_j;  0 unless both were active, share something, i !=
//   j
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "model/moe_layer.h"

namespace cdsp {

/// The first sites, one for each of `lagged`, with gradients u [N, d, D] and v [N, D, d], mask
/// [N, D] of the same dtype and active [N]; of one shape and on one device -> written to lagged
/// [N, N].
void write_lagged_signals(const std::vector<ConflictSite>& sites, ConflictGradient kind,
                          const std::vector<at::Tensor>& lagged);

}  // namespace cdsp
