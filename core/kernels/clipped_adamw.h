// Gradient clipping and two-speed AdamW in two sweeps over flat buffers, with nothing of a step on
// the host (train/adamw.h has the formulas, and keeps its counts there):
//
//   n = |g|       g <- g min(1, clip / (n + 1e-6))       then AdamW with each parameter's own count
//
// The counts of updates, the learning rates and the norm are tensors, so a CUDA graph that holds
// this step can be replayed: a scalar given by the host would stay what it was when the graph was
// captured. A step whose loss or norm is not finite moves nothing, and neither does any after it.
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// All on one device; n numbers in P parameters.
struct FlatAdamWState {
  at::Tensor value, first_moment, second_moment;  // [n] of one floating dtype
  at::Tensor owner;                               // int32 [n]: the parameter a number belongs to
  at::Tensor updates;                             // int64 [P]: updates of each parameter so far
  at::Tensor rate, decay;                         // float64 [P]: learning rate, weight decay
  at::Tensor spoilt;  // int32 [1]: 1 from the first step on that was not finite
};

/// gradient [n], not changed; reached uint8 [P]: 1 where a loss reached the parameter (others keep
/// value, moments and count); loss, of the gradient's dtype, one number; clip_norm 0 = off.
/// Writes the norm before clipping to grad_norm [1], of the gradient's dtype.
void clipped_adamw_step(const FlatAdamWState& state, const at::Tensor& gradient,
                        const at::Tensor& reached, const at::Tensor& loss, double clip_norm,
                        const at::Tensor& grad_norm);

}  // namespace cdsp
