// AdamW (Loshchilov & Hutter, arXiv:1711.05101) with two speeds (spec section 6):
//
//   m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
//   p <- p (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//
// b1 0.9, b2 0.999, eps 1e-8; t counts the updates of that parameter. Group `base`: optimizer.lr
// with weight_decay; group `topology`: optimizer.topology_lr without decay. A parameter that no
// loss reaches is left alone: no update, no decay, no count.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"
#include "model/parameters.h"

namespace cdsp {

class AdamW {
 public:
  /// `parameters` must have been flattened and must outlive this.
  AdamW(const ParameterSet& parameters, const OptimizerConfig& config,
        Engine engine = Engine::kReference);

  /// gradient [count()], flat, in the order of parameters.all(); reached[i] says whether a loss
  /// reached parameter i (its stretch of `gradient` is ignored otherwise).
  void step(const at::Tensor& gradient, const std::vector<bool>& reached);

  /// State for checkpoints: first and second moments [count()] and each parameter's number of
  /// updates.
  at::Tensor first_moment, second_moment;
  std::vector<int64_t> updates;

 private:
  struct Speed {
    double lr, weight_decay;
  };
  void update(int64_t begin, int64_t length, int64_t update_count, const Speed& speed,
              const at::Tensor& gradient);

  const ParameterSet& parameters_;
  Speed base_, topology_;
  Engine engine_;
};

}  // namespace cdsp
