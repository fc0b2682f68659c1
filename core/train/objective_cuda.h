// The objective with its gradient by block programs, on a GPU or emulated.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/lagged_game.h"
#include "train/objective.h"

namespace cdsp {

/// As objective_and_gradient_cpu(), with the game in it: games and epoch_conflict as
/// forward_and_loss() takes them. Waits for nothing.
ObjectiveAndGradient objective_and_gradient_cuda(const Config& config, const ForwardResult& forward,
                                                 const at::Tensor& labels,
                                                 const std::vector<LaggedGame>& games,
                                                 const std::vector<at::Tensor>& epoch_conflict);

}  // namespace cdsp
