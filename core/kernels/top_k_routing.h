// Top-k routing: the k largest logits of each token, softmax over those k (spec section 3).
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// Which experts a batch of tokens goes to.
struct Routing {
  at::Tensor indices;        // [tokens, k] int64, largest logit first; ties go to the lowest index
  at::Tensor weights;        // [tokens, N] softmax over the selected k, 0 elsewhere; differentiable
  at::Tensor probabilities;  // [tokens, N] softmax over all N; defined only where it was asked for
  at::Tensor counts;         // as selection_counts() gives them, where they are known already
};

/// logits [tokens, N] -> Routing. `with_probabilities` also computes the softmax over all experts.
/// Plain LibTorch; the fused engine has it inside normalise_and_route_cpu and _cuda.
Routing route_top_k(const at::Tensor& logits, int64_t k, bool with_probabilities);

/// How many tokens selected each expert, [N], in the dtype of routing.weights.
at::Tensor selection_counts(const Routing& routing);

}  // namespace cdsp
