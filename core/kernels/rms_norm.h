// Root-mean-square normalisation (Zhang & Sennrich, arXiv:1910.07467):
//
//   y = x * w / sqrt(mean(x^2) + 1e-6)        mean over the last dimension
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

inline constexpr double kRmsNormEpsilon = 1e-6;

/// x [..., d], weight [d] -> [..., d]. Differentiable; any floating dtype, any device.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight);

}  // namespace cdsp
