// The router of every variant (spec section 3, paper Eq. 10 and 11):
//
//   logits = W_g [LayerNorm(x), v_task] + b_g,  then the k largest, softmax over those k
//
// LayerNorm has no affine weights, eps 1e-5; `router.norm` says what it averages over.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/top_k_routing.h"
#include "model/initialisation.h"
#include "model/parameters.h"

namespace cdsp {

inline constexpr double kLayerNormEpsilon = 1e-5;

/// Normalises x [batch, positions, d]: `token` over d (paper), `sequence` over positions and d
/// jointly.
at::Tensor normalise_router_input(const at::Tensor& x, RouterNorm norm);

class Router {
 public:
  /// Adds PREFIX.router.{weight,bias} and PREFIX.task_embedding.weight to `parameters`.
  Router(const Config& config, int64_t tasks, const std::string& prefix,
         const Initialiser& initialiser, ParameterSet& parameters, Engine engine);

  /// x [batch, positions, d]; task_one_hot [batch, tasks] in x's dtype, a row of zeros where the
  /// task is withheld, or undefined where no image of the batch has a task (the embedding is then
  /// not reached by the loss). Returns the routing of the batch * positions tokens.
  Routing route(const at::Tensor& x, const at::Tensor& task_one_hot, bool with_probabilities) const;

 private:
  int64_t top_k_;
  RouterNorm norm_;
  Engine engine_;
  at::Tensor weight_;          // [N, d + te]
  at::Tensor bias_;            // [N]
  at::Tensor task_embedding_;  // [tasks, te]
};

}  // namespace cdsp
