// The first half of a training step where LibTorch's autograd makes the second: forward pass,
// conflict of the last step's gradients, objective. Parts of it serve all steps
// (loss_and_gradient.h).
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/lagged_game.h"
#include "model/network.h"
#include "train/device_split.h"
#include "train/objective.h"

namespace cdsp {

/// What a training step asks of the forward pass, given how many games there are.
ForwardRequest forward_request(const Config& config, size_t games);

/// C of each CDSP layer at this step, which is added to epoch_conflict in place.
std::vector<at::Tensor> conflicts_of(const std::vector<LaggedGame>& games,
                                     const ForwardResult& forward,
                                     const std::vector<at::Tensor>& epoch_conflict);

struct ForwardAndLoss {
  ForwardResult forward;
  Objective terms;
};

/// tasks as Network::forward takes them. games and epoch_conflict (float64 [N, N]) one a CDSP
/// layer; this step's C of each layer is added to epoch_conflict in place.
ForwardAndLoss forward_and_loss(const Config& config, const Network& network, const Batch& batch,
                                const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                const std::vector<at::Tensor>& epoch_conflict);

}  // namespace cdsp
