// The training objective (paper Eq. 16 and 17, spec section 6).
//
//   cdsp       total = task + lambda_conf * conflict + reg
//   baselines  total = task + lambda_bal * balance
//
// conflict, reg and balance are summed over layers.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "conflict/lagged_game.h"
#include "model/network.h"
#include "model/network_pass.h"

namespace cdsp {

/// 0-dimensional tensors of the network's dtype; terms a variant does not have are constants 0.
struct Objective {
  at::Tensor total;
  at::Tensor task;           // cross entropy, mean over the batch
  at::Tensor conflict;       // sum of f(A_ij) C_ij, without lambda
  at::Tensor reg;            // l1 and determinism, with their weights
  at::Tensor balance;        // without lambda
  at::Tensor sample_losses;  // [batch] cross entropy of each image; not differentiated
};

/// conflicts: C of each CDSP layer at this step, in the order of forward.sites; empty for the
/// baselines.
Objective objective(const Config& config, const ForwardResult& forward, const at::Tensor& labels,
                    const std::vector<at::Tensor>& conflicts);

struct ObjectiveAndGradient {
  Objective terms;           // as objective() gives them; not differentiable
  OutputGradients gradient;  // of terms.total
};

/// Cross entropy of each image [batch]; logits [batch, classes], labels int64 [batch].
at::Tensor cross_entropy_per_image(const at::Tensor& logits, const at::Tensor& labels);

}  // namespace cdsp
