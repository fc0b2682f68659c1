// The lagged signal (lagged_signal.h) as a block program, a block a pair of experts.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

template <typename T>
struct LaggedSignal {
  static constexpr int kThreads = 128;
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
    constexpr int kGroup = 16;
    if (i >= j) {  // the block of (j, i) writes both
      if (i == j && phase == 0 && thread == 0) lagged[block] = 0;
      return;
    }
    if (phase == 0) {
      const int64_t size = static_cast<int64_t>(d) * columns;
      const T *mask_i = mask + static_cast<int64_t>(i) * columns,
              *mask_j = mask + static_cast<int64_t>(j) * columns;
      T dot = 0, left = 0, right = 0;
      for (int64_t at = thread; at < size; at += kThreads) {
        const int64_t column = at % columns;
        const T a = u[i * size + at], b = u[j * size + at];
        dot += a * b;
        left += a * a * mask_j[column];
        right += b * b * mask_i[column];
      }
      for (int64_t at = thread; v != nullptr && at < size; at += kThreads) {
        const int64_t column = at / d;
        const T a = v[i * size + at], b = v[j * size + at];
        dot += a * b;
        left += a * a * mask_j[column];
        right += b * b * mask_i[column];
      }
      int meets = 0;
      for (int column = thread; column < columns; column += kThreads) {
        meets += mask_i[column] * mask_j[column] > T(0) ? 1 : 0;
      }
      shared.dot[thread] = dot;
      shared.left[thread] = left;
      shared.right[thread] = right;
      shared.shared_columns[thread] = meets;
    } else if (phase == 1) {
      if (thread % kGroup != 0) return;
      for (int t = thread + 1; t < thread + kGroup; ++t) {
        shared.dot[thread] += shared.dot[t];
        shared.left[thread] += shared.left[t];
        shared.right[thread] += shared.right[t];
        shared.shared_columns[thread] += shared.shared_columns[t];
      }
    } else if (thread == 0) {
      T dot = 0, left = 0, right = 0;
      int meets = 0;
      for (int t = 0; t < kThreads; t += kGroup) {
        dot += shared.dot[t];
        left += shared.left[t];
        right += shared.right[t];
        meets += shared.shared_columns[t];
      }
      const T cosine = dot / ((std::sqrt(left) + epsilon) * (std::sqrt(right) + epsilon));
      const bool counts = meets > 0 && active[i] && active[j];
      // Not a comparison with 0: a gradient that is not a number must stay one.
      const T value = counts && !(cosine >= T(0)) ? -cosine : T(0);
      lagged[i * experts + j] = value;
      lagged[j * experts + i] = value;
    }
  }
};

}  // namespace cdsp
