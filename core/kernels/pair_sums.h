// From rows per (token, slot) pair, grouped by expert, back to rows per token.
#pragma once

#include <algorithm>

#include "kernels/expert_tokens.h"
#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {

/// out[token] = base[token] + the sum over its slots, in their order, of strength * row; rows
/// [pairs, d] and strengths [pairs] stand in the order of `expert_tokens`. Without strengths they
/// are 1, without base 0.
template <typename T>
void sum_pairs(const ExpertTokens& expert_tokens, int64_t tokens, int64_t k, int64_t d,
               const T* rows, const T* strengths, const T* base, T* out) {
  constexpr int64_t kTokensPerPiece = 512;
  for_each_piece(pieces_of(tokens, kTokensPerPiece), [&](int64_t piece) {
    const auto& loops = simd_loops<T>();
    const int64_t end = std::min(tokens, (piece + 1) * kTokensPerPiece);
    for (int64_t token = piece * kTokensPerPiece; token < end; ++token) {
      T* to = out + token * d;
      if (base != nullptr) {
        std::copy_n(base + token * d, d, to);
      } else {
        std::fill(to, to + d, T(0));
      }
      for (int64_t slot = 0; slot < k; ++slot) {
        const int64_t at = expert_tokens.position_of_pair[static_cast<size_t>(token * k + slot)];
        loops.add_scaled(d, strengths == nullptr ? T(1) : strengths[at], rows + at * d, to);
      }
    }
  });
}

}  // namespace cdsp
