// What one layer's topology adds to the objective, by one kernel (LaggedGame::conflict,
// conflict_loss and topology_regulariser in one, with their gradient; paper Eq. 15 to 17).
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"

namespace cdsp {

/// By the block program of conflict_terms_blocks.h, on a GPU or emulated: C of this step [N, N]
/// from the lagged signal and who is active (lagged_game.h), which is added to epoch_conflict
/// (float64); conflict and reg added to terms (float64 [2]), or, for the first layer, set there.
/// Returns the gradient of  lambda * conflict + reg  in alpha.
at::Tensor conflict_terms_cuda(const at::Tensor& alpha, const at::Tensor& lagged,
                               const at::Tensor& active, const ConflictConfig& config,
                               bool is_first, const at::Tensor& epoch_conflict,
                               const at::Tensor& terms);

}  // namespace cdsp
