// Each expert's tokens, listed on the host for the fused CPU kernels.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace cdsp {

/// A stretch of one expert's tokens: a piece of work that no other piece shares.
struct TokenStretch {
  int64_t expert;
  int64_t begin, end;  // positions in ExpertTokens::token_of_pair
  int64_t tokens() const { return end - begin; }
};

struct ExpertTokens {
  /// indices [tokens, k]. Stretches are at most `longest` tokens, in the order of the experts.
  ExpertTokens(const int64_t* indices, int64_t tokens, int64_t k, int64_t experts,
               int64_t longest = std::numeric_limits<int64_t>::max()) {
    std::vector<int64_t> first(static_cast<size_t>(experts) + 1, 0);
    for (int64_t p = 0; p < tokens * k; ++p) ++first[static_cast<size_t>(indices[p]) + 1];
    for (size_t e = 1; e < first.size(); ++e) first[e] += first[e - 1];
    for (int64_t e = 0; e < experts; ++e) {
      const int64_t end = first[static_cast<size_t>(e) + 1];
      for (int64_t begin = first[static_cast<size_t>(e)]; begin < end;) {
        const int64_t stop = end - begin > longest ? begin + longest : end;
        stretches.push_back({e, begin, stop});
        begin = stop;
      }
    }
    token_of_pair.resize(static_cast<size_t>(tokens * k));
    position_of_pair.resize(token_of_pair.size());
    for (int64_t token = 0; token < tokens; ++token) {
      for (int64_t p = token * k; p < (token + 1) * k; ++p) {
        const auto position = static_cast<size_t>(first[static_cast<size_t>(indices[p])]++);
        token_of_pair[position] = token;
        position_of_pair[static_cast<size_t>(p)] = static_cast<int64_t>(position);
      }
    }
  }
  /// Tokens of the positions from `position` on.
  const int64_t* tokens_from(int64_t position) const { return token_of_pair.data() + position; }
  int64_t token(int64_t position) const { return token_of_pair[static_cast<size_t>(position)]; }

  std::vector<int64_t> token_of_pair;     // pairs grouped by expert, tokens ascending
  std::vector<int64_t> position_of_pair;  // where pair token * k + slot stands in that order
  std::vector<TokenStretch> stretches;
};

}  // namespace cdsp
