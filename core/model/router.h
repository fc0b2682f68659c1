// The router of every variant (spec section 3, paper Eq. 10 and 11) and the norm before it;
// kernels/normalise_and_route.h computes.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/normalise_and_route.h"
#include "model/initialisation.h"
#include "model/parameters.h"

namespace cdsp {

class Router {
 public:
  /// Adds PREFIX.router.{weight,bias} and PREFIX.task_embedding.weight to `parameters`.
  Router(const Config& config, int64_t tasks, const std::string& prefix,
         const Initialiser& initialiser, ParameterSet& parameters, Engine engine);

  /// h [batch, positions, d], norm [d] the weight of the norm before the layer; task_one_hot
  /// [batch, tasks] in h's dtype, a row of zeros where the task is withheld, or undefined where no
  /// image of the batch has a task (the embedding is then not reached by the loss).
  RoutedTokens route(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& task_one_hot,
                     bool with_probabilities) const;

  /// The same by a pass of the fused engine on the host, and back: -> dL/dh, the gradients of the
  /// norm and of the router going to their stretch of `flat`, a vector like ParameterSet::flat();
  /// zeros for the task embedding where no image had a task.
  ImageWork route(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& task_one_hot,
                  bool with_probabilities, NormaliseAndRouteCpu& pass) const;
  ImageWork backward(const NormaliseAndRouteCpu& pass, const RoutedGradients& upstream,
                     const at::Tensor& norm, const at::Tensor& flat) const;

 private:
  int64_t top_k_;
  RouterNorm norm_;
  Engine engine_;
  RouterWeights weights_;
};

}  // namespace cdsp
