// Sums over the rows of a table (row_sums.h) as a block program:
//
//   out_gc = sum of x_rc over the rows r of group g
#pragma once

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// x [rows, columns] -> out [groups, columns]; a group is `rows_of_group` rows. A block has up to
/// 32 columns of a group, and shares its rows out to lanes.
template <typename T>
struct SumRows {
  static constexpr int kThreads = 512;
  static constexpr int kMostColumns = 32;  // what neighbouring threads read in one piece
  struct Shared {
    T sums[kThreads];
  };
  using Registers = Nothing;

  const T* x;
  T* out;
  int64_t rows, columns;  // numbers that an int holds
  int rows_of_group;
  int columns_of_block;  // a power of two, at most kMostColumns

  CDSP_HOST_DEVICE int groups() const {
    return (static_cast<int>(rows) + rows_of_group - 1) / rows_of_group;
  }
  CDSP_HOST_DEVICE int tiles() const {
    return (static_cast<int>(columns) + columns_of_block - 1) / columns_of_block;
  }
  int64_t blocks() const { return static_cast<int64_t>(groups()) * tiles(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    const int group = static_cast<int>(block) / tiles(), tile = static_cast<int>(block) % tiles();
    const int lanes = kThreads / columns_of_block;
    const int column = tile * columns_of_block + thread % columns_of_block;
    if (column >= columns) return;
    if (phase == 0) {
      const int first = group * rows_of_group;
      const int left = static_cast<int>(rows) - first;
      const int count = left < rows_of_group ? left : rows_of_group;
      const T* from = x + static_cast<int64_t>(first) * columns + column;
      shared.sums[thread] =
          strided_sum<T, 8>(thread / columns_of_block, count, lanes,
                            [&](int row) { return from[static_cast<int64_t>(row) * columns]; });
    } else if (thread < columns_of_block) {
      out[static_cast<int64_t>(group) * columns + column] = strided_sum<T, 8>(
          0, lanes, 1, [&](int lane) { return shared.sums[lane * columns_of_block + thread]; });
    }
  }
};

}  // namespace cdsp
