// From the residual stream to a mixture layer's input and its routing (spec sections 2 and 3):
//
//   x = rms_norm(h, w)
//   logits = W_g [LayerNorm(x), v_task] + b_g,  then the k largest, softmax over those k
//
// LayerNorm has no affine weights, eps 1e-5; it averages over the features of a token, or over all
// tokens and features of an image. v_task is the task's embedding, zero where it is withheld.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "kernels/image_work.h"
#include "kernels/top_k_routing.h"

namespace cdsp {

inline constexpr double kLayerNormEpsilon = 1e-5;

struct RouterWeights {
  at::Tensor weight;          // W_g [N, d + te]
  at::Tensor bias;            // b_g [N]
  at::Tensor task_embedding;  // [tasks, te]
};

struct RouterRequest {
  int64_t top_k;
  RouterNorm norm;
  bool with_probabilities;
};

struct RoutedTokens {
  at::Tensor residual;  // h [batch, positions, d], for what the layer adds to
  at::Tensor x;         // [batch * positions, d]
  Routing routing;      // of the same tokens
};

/// Normalises x [batch, positions, d]: `token` over d (paper), `sequence` over positions and d
/// jointly.
at::Tensor normalise_router_input(const at::Tensor& x, RouterNorm norm);

/// h [batch, positions, d], norm [d]; task_one_hot [batch, tasks] in h's dtype, a row of zeros
/// where the task is withheld, or undefined where no image has a task (the embedding is then not
/// reached by the loss). Differentiable in h, norm and the weights.
RoutedTokens normalise_and_route(const at::Tensor& h, const at::Tensor& norm,
                                 const RouterWeights& weights, const at::Tensor& task_one_hot,
                                 const RouterRequest& request, Engine engine = Engine::kReference);

/// Engine::kFused on the host: an image at a time. The gradients of x, of the routing and of the
/// residual meet in one backward pass. Differentiable.
RoutedTokens normalise_and_route_cpu(const at::Tensor& h, const at::Tensor& norm,
                                     const RouterWeights& weights, const at::Tensor& task_one_hot,
                                     const RouterRequest& request);

/// The block programs of normalise_and_route_blocks.h, on a GPU or emulated. Differentiable.
RoutedTokens normalise_and_route_cuda(const at::Tensor& h, const at::Tensor& norm,
                                      const RouterWeights& weights, const at::Tensor& task_one_hot,
                                      const RouterRequest& request);

/// What arrives from above, contiguous; undefined where nothing does.
struct RoutedGradients {
  at::Tensor residual, x;    // [batch, positions, d], [batch * positions, d]
  at::Tensor weights;        // [batch * positions, N]
  at::Tensor probabilities;  // the same, or [N]: alike for all tokens
};

/// What that is made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class NormaliseAndRouteCpu {
 public:
  /// -> x; tokens() has all once the work is finished.
  ImageWork forward(const at::Tensor& h, const at::Tensor& norm, const RouterWeights& weights,
                    const at::Tensor& task_one_hot, const RouterRequest& request);
  RoutedTokens tokens() const;
  /// -> dL/dh. Sets `gradient` [parameters()]: those of norm and weights, flat, in the order of
  /// RouterWeights; of the task embedding only where there were tasks.
  ImageWork backward(const RoutedGradients& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const;

 private:
  RouterNorm kind_ = RouterNorm::kSequence;
  at::Tensor h_, norm_, weight_, bias_, embedding_, one_hot_;  // the last two may be undefined
  at::Tensor x_, indices_, weights_, probabilities_, counts_;
};

}  // namespace cdsp
