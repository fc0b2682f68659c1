// The CDSP layer in its exact dense form (paper Eq. 7 and 9):
//
//   Y = (SiLU(X U) * ((W diag(s)) M)) V        * elementwise
//
// X [T, d] tokens, U [d, D] and V [D, d] the backbone, W [T, N] router weights, s [N] gates,
// M [N, D] the 0/1 masks of the selected physical dimensions S_i. It equals the sum over a token's
// experts of w_i s_i SiLU(x U[:, S_i]) V[S_i, :], because the hidden unit of a column is the same
// for every expert that selected it.
//
// The backward pass attributes the backbone's gradient to the experts. With Z = X U and E = dL/dY:
//
//   g_i(U) = X^T [(E V^T) * (w_i s_i M_i) * SiLU'(Z)]        g_i(V) = (SiLU(Z) * (w_i s_i M_i))^T E
//
// Their sums over i are dL/dU and dL/dV, so the attribution replaces the two products it needs.
#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "kernels/normalise_and_route.h"
#include "kernels/top_k_routing.h"

namespace cdsp {

/// Where the backward pass leaves the per-expert gradients; zero outside S_i.
struct ExpertGradients {
  at::Tensor u;  // [N, d, D]
  at::Tensor v;  // [N, D, d]
};

/// x [T, d], routing of the same T tokens, u [d, D], v [D, d], gate [N], mask [N, D] of the same
/// dtype. Returns Y [T, d], or residual + Y where a residual [T, d] is given. Differentiable in x,
/// routing.weights (on the selected experts), u, v, gate and residual. If `gradients` is given, the
/// backward pass fills it. `precision` is that of the products by block programs; the other
/// engines' is full.
at::Tensor cdsp_layer(const at::Tensor& x, const Routing& routing, const at::Tensor& u,
                      const at::Tensor& v, const at::Tensor& gate, const at::Tensor& mask,
                      const std::shared_ptr<ExpertGradients>& gradients = nullptr,
                      Engine engine = Engine::kReference, const at::Tensor& residual = {},
                      Precision precision = Precision::kFull);

/// The same, for what computes it.
struct CdspLayerInputs {
  const at::Tensor &residual, &x;  // residual may be undefined
  const Routing& routing;
  const at::Tensor &u, &v, &gate, &mask;
};

/// The dense form in tiles of tokens; per-expert gradients from each expert's own tokens.
at::Tensor cdsp_layer_dense_cpu(const CdspLayerInputs& in,
                                const std::shared_ptr<ExpertGradients>& gradients);
/// Everything by expert: pays up to k r = 1.1 D (grouping_pays() in tile_sizes.h).
at::Tensor cdsp_layer_grouped_cpu(const CdspLayerInputs& in,
                                  const std::shared_ptr<ExpertGradients>& gradients);

/// What the backward pass of the layer gives.
struct CdspLayerGradients {
  RoutedGradients tokens;  // those of residual, x and routing.weights
  at::Tensor gate;         // [N]
  ExpertGradients experts;
};

/// What the two forms are made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class CdspLayerCpu {
 public:
  enum class Form { kDense, kGrouped };
  /// The form that pays for so many selected columns.
  static Form form_for(const at::Tensor& mask, int64_t top_k);
  explicit CdspLayerCpu(Form form) : form_(form) {}

  /// `keep`: for a backward pass.
  at::Tensor forward(const CdspLayerInputs& in, bool keep);
  /// From dL/dy [T, d]. Sets `gradient` [parameters()]: those of u and v, flat.
  CdspLayerGradients backward(const at::Tensor& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const { return 2 * u_.numel(); }

 private:
  at::Tensor forward_dense(const at::Tensor& residual, bool keep);
  at::Tensor forward_grouped(const at::Tensor& residual, bool keep);
  CdspLayerGradients backward_dense(const at::Tensor& upstream, const at::Tensor& gradient) const;
  CdspLayerGradients backward_grouped(const at::Tensor& upstream, const at::Tensor& gradient) const;

  Form form_;
  at::Tensor x_, weights_, indices_, u_, v_, gate_, mask_;
  at::Tensor z_;  // before SiLU: of every token, or every pair
};

/// Block programs, on a GPU or emulated: one each way (gated_experts.h), or, where the layer does
/// not fit that, those of cdsp_layer_blocks.h between LibTorch's matrix products.
at::Tensor cdsp_layer_cuda(const CdspLayerInputs& in,
                           const std::shared_ptr<ExpertGradients>& gradients, Precision precision);

}  // namespace cdsp
