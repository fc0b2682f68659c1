// The lagged gradient game of one layer (paper Eq. 13 to 15, spec section 5).
//
// At step t the per-expert gradients of step t-1, on the selections they were taken on, are the
// signal:
//
//   C_ij = ReLU(-cos(g_i, g_j))  over S_i and S_j;  0 on the diagonal and where nothing is shared.
//
// Expert i is stored at t-1 if at least one token selected it there; pair (i, j) counts at t if
// both were stored at t-1 and both are selected at t. The cosines depend on t-1 alone, so they are
// computed when the gradients are there and only [N, N] numbers wait for the next step.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "model/moe_layer.h"

namespace cdsp {

class LaggedGame {
 public:
  explicit LaggedGame(ConflictGradient gradient, Engine engine = Engine::kReference)
      : gradient_(gradient), engine_(engine) {}

  /// C of this step [N, N] for the experts that site.active says are selected now; zeros before the
  /// first store(). Not differentiated.
  at::Tensor conflict(const ConflictSite& site) const;

  /// Keeps the signal of the step just differentiated. site.gradients has been filled by its
  /// backward pass.
  void store(const ConflictSite& site);

  /// The stored ReLU(-cos), masked to stored pairs [N, N]; undefined before the first store(). For
  /// checkpoints.
  const at::Tensor& lagged() const { return lagged_; }
  void restore(const at::Tensor& lagged) { lagged_ = lagged; }

 private:
  /// Whether the fused engine's plain loops serve.
  bool is_on_host(const ConflictSite& site) const;

  ConflictGradient gradient_;
  Engine engine_;
  at::Tensor lagged_;
};

}  // namespace cdsp
