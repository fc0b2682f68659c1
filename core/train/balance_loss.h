// The load-balance losses of the baselines (spec section 6). Adding one: an enum value, its
// spelling in config/, in balance_loss.cpp a case for autograd and one with its slope, and the same
// as a block program in objective_blocks.h, which objective_cuda.cpp runs.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/top_k_routing.h"

namespace cdsp {

/// Loss of one layer, 0-dimensional.
///
/// switch: N * sum_i f_i P_i, with f the share of the k selections (a constant) and P the mean
/// router softmax over all N experts (Fedus et al., arXiv:2101.03961). Needs routing.probabilities.
///
/// cv2: (std / (mean + 1e-6))^2 of the selection counts, std with N - 1 (released code). Counts
/// carry no gradient: this term is reported and trains nothing.
at::Tensor balance_loss(const Routing& routing, BalanceKind kind);

/// The same on the host, and its gradient in the router's probabilities: [N], alike for all tokens;
/// undefined where it has none.
struct BalanceAndSlope {
  double loss;
  at::Tensor slope;
};
BalanceAndSlope balance_loss_cpu(const Routing& routing, BalanceKind kind);

}  // namespace cdsp
