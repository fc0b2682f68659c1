// Top-k routing as block programs, a thread a token. Over the k chosen experts j, upstream e =
// dL/dw:
//
//   w_j = exp(l_j - l_max) / sum_j exp(l_j - l_max)        dl_j = w_j (e_j - sum_j w_j e_j)
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

/// Whether logit a of expert i comes before logit b of expert j: the larger first, NaN before all
/// numbers as in LibTorch's sort, ties to the lower expert.
template <typename T>
CDSP_HOST_DEVICE bool routed_before(T a, int i, T b, int j) {
  const bool a_is_nan = a != a, b_is_nan = b != b;
  if (a_is_nan != b_is_nan) return a_is_nan;
  if (a_is_nan || a == b) return i < j;
  return a > b;
}

/// logits, weights [tokens, experts]; indices [tokens, k].
template <typename T>
struct TopKForward {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  const T* logits;
  int64_t* indices;
  T* weights;
  int64_t tokens;
  int experts, k;

  int64_t blocks() const { return (tokens + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t token = block * kThreads + thread;
    if (token >= tokens) return;
    const T* row = logits + token * experts;
    T* to = weights + token * experts;
    for (int expert = 0; expert < experts; ++expert) to[expert] = 0;
    // The next in the order after the one before: no list of those already taken is needed.
    int last = -1, first = 0;
    T sum = 0;
    for (int slot = 0; slot < k; ++slot) {
      int best = -1;
      for (int expert = 0; expert < experts; ++expert) {
        const bool is_left = last < 0 || routed_before(row[last], last, row[expert], expert);
        if (is_left && (best < 0 || routed_before(row[expert], expert, row[best], best))) {
          best = expert;
        }
      }
      if (slot == 0) first = best;
      indices[token * k + slot] = best;
      const T part = std::exp(row[best] - row[first]);
      to[best] = part;
      sum += part;
      last = best;
    }
    for (int slot = 0; slot < k; ++slot) to[indices[token * k + slot]] /= sum;
  }
};

/// indices [tokens, k]; weights, upstream, d_logits [tokens, experts].
template <typename T>
struct TopKBackward {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  const int64_t* indices;
  const T *weights, *upstream;
  T* d_logits;
  int64_t tokens;
  int experts, k;

  int64_t blocks() const { return (tokens + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t token = block * kThreads + thread;
    if (token >= tokens) return;
    const int64_t row = token * experts;
    T expected = 0;
    for (int slot = 0; slot < k; ++slot) {
      const int64_t at = row + indices[token * k + slot];
      expected += weights[at] * upstream[at];
    }
    for (int expert = 0; expert < experts; ++expert) d_logits[row + expert] = 0;
    for (int slot = 0; slot < k; ++slot) {
      const int64_t at = row + indices[token * k + slot];
      d_logits[at] = weights[at] * (upstream[at] - expected);
    }
  }
};

}  // namespace cdsp
