// Root-mean-square normalisation (Zhang & Sennrich, arXiv:1910.07467):
//
//   y = x * w / sqrt(mean(x^2) + 1e-6)        mean over the last dimension
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp {

inline constexpr double kRmsNormEpsilon = 1e-6;

/// x [..., d], weight [d] -> [..., d]. Differentiable; any floating dtype, any device. The host's
/// fused engine norms inside its larger pieces (attention_block_cpu and others) and not here.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight,
                    Engine engine = Engine::kReference);

/// A residual stream and its norm. As one operation, so that what flows back into the stream from
/// both meets in one kernel.
struct NormedStream {
  at::Tensor normed, residual;
};
NormedStream norm_beside_residual(const at::Tensor& x, const at::Tensor& weight, Engine engine);

/// The block programs of rms_norm_blocks.h, on a GPU or emulated.
NormedStream norm_beside_residual_cuda(const at::Tensor& x, const at::Tensor& weight);

}  // namespace cdsp
