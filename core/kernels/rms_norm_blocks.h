// RMSNorm as block programs. With r = 1 / sqrt(mean(x^2) + eps) of a row, E = dL/dY:
//
//   y = x r w        dx = r (e w - x r^2 mean(e w x))        dw = sum over rows of e x r
//
// A row is shared by kLanes threads, and every row has its own: each thread has few numbers, and
// many threads wait for memory at once. Columns are taken kStretch at a time, which stay in
// registers between phases: rows of that width are read once, wider ones a second time for what is
// made of their sums.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

namespace rms_norm_block {
inline constexpr int kLanes = 16;  // threads that share a row
inline constexpr int kKept = 4;    // columns that each keeps
inline constexpr int kStretch = kLanes * kKept;

/// In four sums side by side, which do not wait for one another.
template <typename T>
CDSP_HOST_DEVICE T sum_of_lanes(const T (&values)[kLanes]) {
  T sums[4] = {values[0], values[1], values[2], values[3]};
  CDSP_UNROLL
  for (int i = 4; i < kLanes; ++i) sums[i % 4] += values[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
}  // namespace rms_norm_block

/// x, y [rows, d]; weight [d]; inverse_rms [rows], kept for the backward pass.
template <typename T>
struct RmsNormForward {
  static constexpr int kThreads = 256;
  static constexpr int kLanes = rms_norm_block::kLanes;
  static constexpr int kKept = rms_norm_block::kKept;
  static constexpr int kRows = kThreads / kLanes;
  struct Shared {
    T squares[kRows][kLanes];
  };
  struct Registers {
    T x[kKept], weight[kKept];
    T sum;  // of squares
  };

  const T *x, *weight;
  T *y, *inverse_rms;
  int64_t rows;
  int d;
  T epsilon;

  int64_t blocks() const { return (rows + kRows - 1) / kRows; }
  /// The stretches of columns for the sum, then again for y.
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2 * stretches(); }
  CDSP_HOST_DEVICE int stretches() const {
    return (d + rms_norm_block::kStretch - 1) / rms_norm_block::kStretch;
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int local = thread / kLanes, lane = thread % kLanes;
    const int64_t row = block * kRows + local;
    if (row >= rows) return;
    const bool is_sum = phase < stretches();
    const int first = (is_sum ? phase : phase - stretches()) * rms_norm_block::kStretch + lane;
    const int64_t at = row * d + first;
    if (is_sum || stretches() > 1) {
      CDSP_UNROLL
      for (int i = 0; i < kKept; ++i) {
        const int c = i * kLanes;
        own.x[i] = first + c < d ? x[at + c] : T(0);
        own.weight[i] = first + c < d ? weight[first + c] : T(0);
      }
    }
    if (is_sum) {
      if (phase == 0) own.sum = 0;
      CDSP_UNROLL
      for (int i = 0; i < kKept; ++i) own.sum += own.x[i] * own.x[i];
      shared.squares[local][lane] = own.sum;
      return;
    }
    const T sum = rms_norm_block::sum_of_lanes(shared.squares[local]);
    const T r = T(1) / std::sqrt(sum / static_cast<T>(d) + epsilon);
    CDSP_UNROLL
    for (int i = 0; i < kKept; ++i) {
      const int c = i * kLanes;
      if (first + c < d) y[at + c] = own.x[i] * r * own.weight[i];
    }
    if (first == 0) inverse_rms[row] = r;
  }
};

/// Also upstream, d_x [rows, d]; beside [rows, d], which d_x begins with, or null; d_weight_parts
/// [blocks, d], to be summed over blocks.
///
/// A block's part of dw is summed over its rows in two steps: each group of threads adds up a few
/// rows, then the groups are added.
template <typename T>
struct RmsNormBackward {
  static constexpr int kThreads = 512;
  static constexpr int kLanes = rms_norm_block::kLanes;
  static constexpr int kKept = rms_norm_block::kKept;
  static constexpr int kStretch = rms_norm_block::kStretch;
  static constexpr int kRows = kThreads / kLanes;
  static constexpr int kGroups = kThreads / kStretch;
  static constexpr int kRowsOfGroup = kRows / kGroups;
  static_assert(kGroups == 8 && kRowsOfGroup == 4, "the sums below are written out");
  struct Shared {
    T products[kRows][kLanes];  // e w x, by lane
    // e x r; wider than they are many, so that two rows do not lie in the same banks.
    T terms[kRows][kStretch + kLanes];
    T groups[kGroups][kStretch];
  };
  struct Registers {
    T x[kKept], upstream[kKept], weight[kKept], beside[kKept];
    T inverse_rms;
    T sum;  // of e w x
  };

  const T *x, *weight, *inverse_rms, *upstream, *beside;
  T *d_x, *d_weight_parts;
  int64_t rows;
  int d;

  int64_t blocks() const { return (rows + kRows - 1) / kRows; }
  /// The stretches of columns for the sum e w x; then backwards, beginning with what was read last,
  /// two for each: d_x with the groups' sums, and their sum while the next stretch is read.
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3 * stretches(); }
  CDSP_HOST_DEVICE int stretches() const { return (d + kStretch - 1) / kStretch; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int local = thread / kLanes, lane = thread % kLanes;
    const int64_t row = block * kRows + local;
    const bool is_sum = phase < stretches();
    const int turn = phase - stretches();
    const int stretch = is_sum ? phase : stretches() - 1 - turn / 2;
    if (!is_sum && turn % 2 == 0) {
      if (row < rows) write_row(row, stretch * kStretch + lane, local, shared, own);
      add_up_group(thread, shared);
      return;
    }
    if (!is_sum) write_part(block, stretch * kStretch, thread, shared);
    const int to_read = is_sum ? stretch : stretch - 1;
    if (to_read < 0) return;
    if (phase == 0) {
      own.inverse_rms = row < rows ? inverse_rms[row] : T(0);
      own.sum = 0;
    }
    read(row, to_read * kStretch + lane, own);
    CDSP_UNROLL
    for (int i = 0; i < kKept; ++i) {
      own.sum += own.upstream[i] * own.weight[i] * own.x[i];
      shared.terms[local][lane + i * kLanes] = own.upstream[i] * own.x[i] * own.inverse_rms;
    }
    if (is_sum) shared.products[local][lane] = own.sum;
  }

  CDSP_HOST_DEVICE void read(int64_t row, int first, Registers& own) const {
    const int64_t at = row * d + first;
    CDSP_UNROLL
    for (int i = 0; i < kKept; ++i) {
      const int c = i * kLanes;
      const bool is_place = row < rows && first + c < d;
      own.x[i] = is_place ? x[at + c] : T(0);
      own.upstream[i] = is_place ? upstream[at + c] : T(0);
      own.weight[i] = is_place ? weight[first + c] : T(0);
      own.beside[i] = is_place && beside != nullptr ? beside[at + c] : T(0);
    }
  }

  CDSP_HOST_DEVICE void write_row(int64_t row, int first, int local, const Shared& shared,
                                  const Registers& own) const {
    const int64_t at = row * d + first;
    const T r = own.inverse_rms, sum = rms_norm_block::sum_of_lanes(shared.products[local]);
    const T pull = r * r * r * sum / static_cast<T>(d);
    CDSP_UNROLL
    for (int i = 0; i < kKept; ++i) {
      const int c = i * kLanes;
      const T mine = r * own.upstream[i] * own.weight[i] - own.x[i] * pull;
      if (first + c < d) d_x[at + c] = beside != nullptr ? own.beside[i] + mine : mine;
    }
  }

  CDSP_HOST_DEVICE void add_up_group(int thread, Shared& shared) const {
    const int column = thread % kStretch, group = thread / kStretch, first = group * kRowsOfGroup;
    const auto term = [&](int row) { return shared.terms[first + row][column]; };
    shared.groups[group][column] = (term(0) + term(1)) + (term(2) + term(3));
  }

  CDSP_HOST_DEVICE void write_part(int64_t block, int first_column, int thread,
                                   const Shared& shared) const {
    const int column = first_column + thread;
    if (thread >= kStretch || column >= d) return;
    const auto pair = [&](int group) {
      return shared.groups[group][thread] + shared.groups[group + 1][thread];
    };
    d_weight_parts[block * d + column] = (pair(0) + pair(2)) + (pair(4) + pair(6));
  }
};

}  // namespace cdsp
