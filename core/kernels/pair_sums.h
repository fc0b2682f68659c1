// From rows per (token, slot) pair, grouped by expert, back to rows per token.
#pragma once

#include <vector>

#include "kernels/expert_tokens.h"
#include "kernels/simd_loops.h"

namespace cdsp {

/// out[token] = base[token] + the sum over its slots, in their order, of strength * row; rows
/// [pairs, d] and strengths [pairs] stand in the order of `expert_tokens`. Without strengths they
/// are 1, without base 0.
template <typename T>
void sum_pairs(const ExpertTokens& expert_tokens, int64_t tokens, int64_t k, int64_t d,
               const T* rows, const T* strengths, const T* base, T* out) {
  const auto& loops = simd_loops<T>();
  std::vector<const T*> own_rows(static_cast<size_t>(k));
  std::vector<T> own_strengths(static_cast<size_t>(k), T(1));
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t slot = 0; slot < k; ++slot) {
      const int64_t at = expert_tokens.position_of_pair[static_cast<size_t>(token * k + slot)];
      own_rows[static_cast<size_t>(slot)] = rows + at * d;
      if (strengths != nullptr) own_strengths[static_cast<size_t>(slot)] = strengths[at];
    }
    loops.sum_rows(d, k, base == nullptr ? nullptr : base + token * d, own_strengths.data(),
                   own_rows.data(), out + token * d);
  }
}

}  // namespace cdsp
