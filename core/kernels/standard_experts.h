// The standard MoE layer's experts (spec section 7), all of them on every token, weighted by the
// router:
//
//   Y = sum_i w_i (W2_i SiLU(W1_i x + b1_i) + b2_i)
//
// Written as two dense products over the concatenated hidden units (an expert that was not selected
// has weight zero): static shapes and no loop over experts.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "kernels/normalise_and_route.h"
#include "kernels/top_k_routing.h"

namespace cdsp {

/// x [T, d], w1 [N, f, d], b1 [N, f], w2 [N, d, f], b2 [N, d] -> Y [T, d], or residual + Y where a
/// residual [T, d] is given. Differentiable in all, and in routing.weights. `precision` is that of
/// the products by block programs; the other engines' is full.
at::Tensor standard_experts(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                            const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                            Engine engine = Engine::kReference, const at::Tensor& residual = {},
                            Precision precision = Precision::kFull);

/// Engine::kFused on the host: each expert on its own tokens only. Differentiable.
at::Tensor standard_experts_cpu(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                                const at::Tensor& residual);

/// What that is made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class StandardExpertsCpu {
 public:
  /// `residual` may be undefined; `keep`: for a backward pass.
  at::Tensor forward(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                     const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                     const at::Tensor& residual, bool keep);
  /// dL/dy [T, d] -> those of residual, x and routing.weights. Sets `gradient` [parameters()]:
  /// those of w1, b1, w2 and b2, flat.
  RoutedGradients backward(const at::Tensor& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const;

 private:
  at::Tensor x_, router_, indices_, w1_, b1_, w2_, b2_;
  at::Tensor z_;  // before SiLU, of every pair
};

/// LibTorch's matrix products and block programs of cdsp_layer_blocks.h between them, on a GPU or
/// emulated.
at::Tensor standard_experts_cuda(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                 const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                                 const at::Tensor& residual, Precision precision);

}  // namespace cdsp
