// The lagged signal (lagged_signal.h) as a block program, a block a pair of experts.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

template <typename T>
struct LaggedSignal {
  // A pair is one block, and there are few pairs: many threads, each with few numbers.
  static constexpr int kThreads = 512;
  struct Shared {
    T dot[kThreads], left[kThreads], right[kThreads];  // <g_i, g_j>, |g_i|^2 on S_j, |g_j|^2 on S_i
    int shared_columns[kThreads];
  };
  using Registers = Nothing;

  const T *u, *v;  // v may be null: kind `u`
  const T* mask;
  const bool* active;
  T* lagged;
  int experts, d, columns;
  T epsilon;

  int64_t blocks() const { return static_cast<int64_t>(experts) * experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    const int i = static_cast<int>(block / experts), j = static_cast<int>(block % experts);
    if (i >= j) {  // the block of (j, i) writes both
      if (i == j && phase == 0 && thread == 0) lagged[block] = 0;
      return;
    }
    if (phase == 0) {
      add_up(i, j, thread, shared);
    } else if (phase == 1) {
      sum_groups(shared.dot, thread);
      sum_groups(shared.left, thread);
      sum_groups(shared.right, thread);
      sum_groups(shared.shared_columns, thread);
    } else if (thread == 0) {
      const T left = sum_of_groups(shared.left), right = sum_of_groups(shared.right);
      const T cosine =
          sum_of_groups(shared.dot) / ((std::sqrt(left) + epsilon) * (std::sqrt(right) + epsilon));
      const bool counts = sum_of_groups(shared.shared_columns) > 0 && active[i] && active[j];
      // Not a comparison with 0: a gradient that is not a number must stay one.
      const T value = counts && !(cosine >= T(0)) ? -cosine : T(0);
      lagged[i * experts + j] = value;
      lagged[j * experts + i] = value;
    }
  }

  CDSP_HOST_DEVICE void add_up(int i, int j, int thread, Shared& shared) const {
    const int64_t size = static_cast<int64_t>(d) * columns;
    const T *mask_i = mask + static_cast<int64_t>(i) * columns,
            *mask_j = mask + static_cast<int64_t>(j) * columns;
    const T *u_i = u + i * size, *u_j = u + j * size;
    T dot = 0, left = 0, right = 0;
    // The column of a place is kept up as the place moves: a division takes longer than the sums.
    const int step = kThreads % columns;
    int column = thread % columns;
    for (int64_t at = thread; at < size; at += kThreads) {
      const T a = u_i[at], b = u_j[at];
      dot += a * b;
      left += a * a * mask_j[column];
      right += b * b * mask_i[column];
      column += step;
      if (column >= columns) column -= columns;
    }
    if (v != nullptr) {
      const T *v_i = v + i * size, *v_j = v + j * size;
      const int whole = kThreads / d, rest = kThreads % d;
      int in_column = thread % d;
      column = thread / d;
      for (int64_t at = thread; at < size; at += kThreads) {
        const T a = v_i[at], b = v_j[at];
        dot += a * b;
        left += a * a * mask_j[column];
        right += b * b * mask_i[column];
        column += whole;
        in_column += rest;
        if (in_column >= d) {
          in_column -= d;
          ++column;
        }
      }
    }
    int meets = 0;
    for (int c = thread; c < columns; c += kThreads) meets += mask_i[c] * mask_j[c] > T(0) ? 1 : 0;
    shared.dot[thread] = dot;
    shared.left[thread] = left;
    shared.right[thread] = right;
    shared.shared_columns[thread] = meets;
  }
};

}  // namespace cdsp
