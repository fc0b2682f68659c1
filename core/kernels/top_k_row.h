// Ranking a row of numbers, and the top-k routing of one token (top_k_routing.h) by one thread, for
// block programs. Over the k chosen experts j:
//
//   w_j = exp(l_j - l_max) / sum_j exp(l_j - l_max)
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace cdsp {

/// Whether logit a of place i comes before logit b of place j: the larger first, NaN before all
/// numbers as in LibTorch's sort, ties to the lower place.
template <typename T>
CDSP_HOST_DEVICE bool routed_before(T a, int i, T b, int j) {
  const bool a_is_nan = a != a, b_is_nan = b != b;
  const bool ties = (a == b) | (a_is_nan & b_is_nan);
  return (a > b) | (a_is_nan & !b_is_nan) | (ties & (i < j));  // no branches
}

/// logits [experts] -> indices [k], weights [experts].
template <typename T>
CDSP_HOST_DEVICE void choose_top_k(const T* logits, int experts, int k, int64_t* indices,
                                   T* weights) {
  for (int expert = 0; expert < experts; ++expert) weights[expert] = 0;
  // The next in the order after the one before: no list of those already taken is needed.
  int last = -1, first = 0;
  T sum = 0;
  for (int slot = 0; slot < k; ++slot) {
    int best = -1;
    for (int expert = 0; expert < experts; ++expert) {
      const bool is_left = last < 0 || routed_before(logits[last], last, logits[expert], expert);
      if (is_left && (best < 0 || routed_before(logits[expert], expert, logits[best], best))) {
        best = expert;
      }
    }
    if (slot == 0) first = best;
    indices[slot] = best;
    const T part = std::exp(logits[best] - logits[first]);
    weights[best] = part;
    sum += part;
    last = best;
  }
  const T of_sum = T(1) / sum;
  for (int slot = 0; slot < k; ++slot) weights[indices[slot]] *= of_sum;
}

/// The softmax over all experts.
template <typename T>
CDSP_HOST_DEVICE void softmax_of(const T* logits, int experts, T* probabilities) {
  T largest = logits[0];
  for (int expert = 1; expert < experts; ++expert) {
    if (logits[expert] > largest || logits[expert] != logits[expert]) largest = logits[expert];
  }
  T sum = 0;
  for (int expert = 0; expert < experts; ++expert) {
    probabilities[expert] = std::exp(logits[expert] - largest);
    sum += probabilities[expert];
  }
  const T of_sum = T(1) / sum;
  for (int expert = 0; expert < experts; ++expert) probabilities[expert] *= of_sum;
}

}  // namespace cdsp
