// The topology's selection (topology.h) as a block program, a block an expert.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"
#include "kernels/top_k_row.h"

namespace cdsp {

/// alpha [experts, experts] -> mask [experts, columns], gate [experts], and ds_i / dA_ij, slope
/// [experts, experts].
template <typename T>
struct SelectTopology {
  static constexpr int kThreads = 128;
  struct Shared {
    T sums[kThreads];
  };
  using Registers = Nothing;

  const T* alpha;
  T *mask, *gate, *slope;
  int experts, columns, rank;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 4; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    const T* row = alpha + expert * experts;
    T* slopes = slope + expert * experts;  // until phase 2 how many columns each owner has
    const int width = columns / experts;
    if (phase == 0) {
      for (int owner = thread; owner < experts; owner += kThreads) {
        int before = 0;  // owners that come first, by falling logit, ties to the lowest
        for (int other = 0; other < experts; ++other) {
          before += other != owner && routed_before(row[other], other, row[owner], owner) ? 1 : 0;
        }
        const int64_t left = rank - static_cast<int64_t>(before) * width;
        slopes[owner] = static_cast<T>(left < 0 ? 0 : left < width ? left : width);
      }
    } else if (phase == 1) {
      T* selected = mask + expert * columns;
      for (int column = thread; column < columns; column += kThreads) {
        const int owner = column / width;
        // Columns of nobody come last.
        const int limit = owner < experts ? owner * width + static_cast<int>(slopes[owner]) : rank;
        selected[column] = column < limit ? T(1) : T(0);
      }
      T sum = 0;
      for (int owner = thread; owner < experts; owner += kThreads) {
        sum += strength(row[owner]) * slopes[owner];
      }
      shared.sums[thread] = sum;
    } else if (phase == 2) {
      sum_groups(shared.sums, thread);
      for (int owner = thread; owner < experts; owner += kThreads) {
        const T s = strength(row[owner]);
        slopes[owner] = slopes[owner] * s * (T(1) - s) / static_cast<T>(rank);
      }
    } else if (thread == 0) {
      gate[expert] = sum_of_groups(shared.sums) / static_cast<T>(rank);
    }
  }

  CDSP_HOST_DEVICE static T strength(T logit) { return T(1) / (T(1) + std::exp(-logit)); }
};

}  // namespace cdsp
