// Both products of the CDSP layer and its gates as one block program each way
// (gated_experts_blocks.h). Not differentiated: cdsp_layer_cuda.cpp is.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"

namespace cdsp {

/// A layer's inputs as cdsp_layer() takes them; contiguous.
struct GatedExpertsInputs {
  const at::Tensor &x, &weights, &indices, &u, &v, &gate, &mask;
};

/// Whether the programs do this layer: products of full precision, a token in a tile of shared
/// memory, its experts in the tables there. Wider tokens would leave room for few of them, and each
/// block reads all of U and V: LibTorch's products are the better ones then.
bool gated_experts_fit(const GatedExpertsInputs& in, Precision precision);

struct GatedExpertsOutputs {
  at::Tensor y, z;  // [tokens, d], with the residual; [tokens, columns]
};

/// `residual` [tokens, d], or an empty tensor for none.
GatedExpertsOutputs gated_experts_cuda(const GatedExpertsInputs& in, const at::Tensor& residual);

struct GatedExpertsGradients {
  at::Tensor x, weights, gate_parts;  // whose rows sum to the gate's gradient
  at::Tensor hidden;                  // E V^T [tokens, columns]
};

/// From z and dL/dy, contiguous.
GatedExpertsGradients gated_experts_backward_cuda(const GatedExpertsInputs& in, const at::Tensor& z,
                                                  const at::Tensor& upstream);

}  // namespace cdsp
