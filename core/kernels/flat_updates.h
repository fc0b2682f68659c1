// What the optimiser does to flat vectors of all parameters:
//
//   norm      n = sqrt(sum g^2)
//   clipping  g <- g min(1, clip / (n + 1e-6))
//   AdamW     m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
//             p <- p (1 - lr decay) - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//
// b1, b2 and eps are those of adamw_constants.h.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"

namespace cdsp {

/// flat [n] -> 0-dimensional. Fused: in stretches of fixed length, so that the bytes do not depend
/// on the number of threads.
at::Tensor flat_norm(const at::Tensor& flat, Engine engine = Engine::kReference);

/// Clips `flat` [n] in place (clip_norm 0 = off); returns its norm before that, 0-dimensional.
at::Tensor clip_to_norm(at::Tensor flat, double clip_norm, Engine engine = Engine::kReference);

struct AdamWRates {
  double lr, weight_decay;
  int64_t t;  // this update's number, from 1
};

/// In place of parameter, first and second moment; all [n]. Fused: one pass.
void adamw_update(const AdamWRates& rates, const at::Tensor& gradient, at::Tensor parameter,
                  at::Tensor first, at::Tensor second, Engine engine = Engine::kReference);

}  // namespace cdsp
