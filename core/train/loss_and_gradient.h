// The part of a training step between batch and update: forward pass, conflict of the last step's
// gradients, objective, gradient.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "train/flat_gradient.h"
#include "train/forward_and_loss.h"

namespace cdsp {

struct LossAndGradient {
  ForwardResult forward;
  Objective terms;
  FlatGradient gradient;
};

/// Arguments as forward_and_loss() takes them. The fused engine on the host has a backward pass of
/// its own (model/network_pass.h); all others go through LibTorch's autograd, the CUDA kernels back
/// from the network's outputs, the objective having its gradient written down.
LossAndGradient loss_and_gradient(const Config& config, const Network& network, const Batch& batch,
                                  const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                  const std::vector<at::Tensor>& epoch_conflict);

}  // namespace cdsp
