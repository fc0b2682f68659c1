// Rotary position embedding (Su et al., arXiv:2104.09864) on adjacent pairs:
//
//   (x_2p, x_2p+1) at position t is turned by the angle t * base^(-2p / d_head),  base = 10000
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

inline constexpr double kRotaryBase = 10000.0;

/// The turns as unit complex numbers, [positions, d_head / 2], computed in float64 and rounded once
/// to the complex type of `like`'s dtype, on its device. d_head must be even.
at::Tensor rotary_turns(int64_t positions, int64_t d_head, const at::Tensor& like);

/// x [batch, positions, heads, d_head] -> the same shape, each pair turned. Differentiable.
at::Tensor apply_rotary(const at::Tensor& x, const at::Tensor& turns);

}  // namespace cdsp
