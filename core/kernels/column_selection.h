// Each expert's selected columns S_i, listed on the host for the fused CPU kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cdsp {

/// S_i as runs of neighbouring columns: it is made of blocks, so a few long runs.
struct ColumnSelection {
  struct Run {
    int64_t first, length;
  };
  std::vector<Run> runs;
  int64_t rank = 0;
};

/// mask [experts, columns], not 0 where selected.
template <typename T>
std::vector<ColumnSelection> selections_of(const T* mask, int64_t experts, int64_t columns) {
  std::vector<ColumnSelection> selections(static_cast<size_t>(experts));
  for (ColumnSelection& selection : selections) {
    for (int64_t c = 0; c < columns; ++c, ++mask) {
      if (*mask == T(0)) continue;
      if (c > 0 && mask[-1] != T(0)) {
        ++selection.runs.back().length;
      } else {
        selection.runs.push_back({c, 1});
      }
      ++selection.rank;
    }
  }
  return selections;
}

inline int64_t longest_rank(const std::vector<ColumnSelection>& selections) {
  int64_t longest = 0;
  for (const ColumnSelection& selection : selections) longest = std::max(longest, selection.rank);
  return longest;
}

}  // namespace cdsp
