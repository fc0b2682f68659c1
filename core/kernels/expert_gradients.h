// The experts' own gradients on a GPU or emulated: from each expert's own tokens, over its own
// columns (expert_gradients_blocks.h).
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/expert_grouping.h"

namespace cdsp {

/// Of a backward pass; all contiguous: the tokens of `experts` experts by expert; x and upstream
/// [T, d]; z and d_hidden = E V^T [T, D].
struct ExpertGradientInputs {
  ExpertRows rows;
  int64_t experts;
  at::Tensor x, upstream, z, d_hidden;
};

struct ExpertGradientSums {
  at::Tensor first, second;              // of each expert
  at::Tensor first_total, second_total;  // their sums over the experts
};

/// CDSP: gate [N], mask [N, D] -> g(U) [N, d, D], g(V) [N, D, d] and their totals.
ExpertGradientSums backbone_gradients_cuda(const ExpertGradientInputs& in, const at::Tensor& gate,
                                           const at::Tensor& mask);

/// Standard experts, D = N width -> dW1 [N, width, d], dW2 [N, d, width]; no totals.
ExpertGradientSums own_column_gradients_cuda(const ExpertGradientInputs& in);

}  // namespace cdsp
