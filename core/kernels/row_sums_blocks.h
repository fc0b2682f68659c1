// Sums over the rows of a table (row_sums.h) as a block program:
//
//   out_gc = sum of x_rc over the rows r of group g
#pragma once

#include "kernels/block_grid.h"

namespace cdsp {

/// x [rows, columns] -> out [groups, columns]; a group is `rows_of_group` rows. A block has up to
/// 32 columns of a group, and shares its rows out to lanes.
template <typename T>
struct SumRows {
  static constexpr int kThreads = 256;
  static constexpr int kMostColumns = 32;  // what neighbouring threads read in one piece
  struct Shared {
    T sums[kThreads];
  };
  using Registers = Nothing;

  const T* x;
  T* out;
  int64_t rows, columns, rows_of_group;
  int columns_of_block;  // a power of two, at most kMostColumns

  CDSP_HOST_DEVICE int64_t groups() const { return (rows + rows_of_group - 1) / rows_of_group; }
  CDSP_HOST_DEVICE int64_t tiles() const {
    return (columns + columns_of_block - 1) / columns_of_block;
  }
  int64_t blocks() const { return groups() * tiles(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    const int64_t group = block / tiles();
    const int64_t column = block % tiles() * columns_of_block + thread % columns_of_block;
    const int lanes = kThreads / columns_of_block;
    if (column >= columns) return;
    if (phase == 0) {
      const int64_t end = (group + 1) * rows_of_group < rows ? (group + 1) * rows_of_group : rows;
      const int64_t step = lanes;
      int64_t row = group * rows_of_group + thread / columns_of_block;
      // Four sums, so that no addition waits for the one before.
      T a = 0, b = 0, c = 0, d = 0;
      for (; row + 3 * step < end; row += 4 * step) {
        a += x[row * columns + column];
        b += x[(row + step) * columns + column];
        c += x[(row + 2 * step) * columns + column];
        d += x[(row + 3 * step) * columns + column];
      }
      for (; row < end; row += step) a += x[row * columns + column];
      shared.sums[thread] = (a + b) + (c + d);
    } else if (thread < columns_of_block) {
      T sum = 0;
      for (int lane = 0; lane < lanes; ++lane) sum += shared.sums[lane * columns_of_block + thread];
      out[group * columns + column] = sum;
    }
  }
};

}  // namespace cdsp
