// RMSNorm as block programs. With r = 1 / sqrt(mean(x^2) + eps) of a row, E = dL/dY:
//
//   y = x r w        dx = r (e w - x r^2 mean(e w x))        dw = sum over rows of e x r
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

namespace rms_norm_block {
inline constexpr int kThreads = 128;
inline constexpr int kLanes = 16;  // threads that share a row
inline constexpr int kRows = 32;   // rows of a block
inline constexpr int kRowsAtOnce = kThreads / kLanes;
}  // namespace rms_norm_block

/// x, y [rows, d]; weight [d]; inverse_rms [rows], kept for the backward pass.
template <typename T>
struct RmsNormForward {
  static constexpr int kThreads = rms_norm_block::kThreads;
  struct Shared {
    T squares[rms_norm_block::kRows][rms_norm_block::kLanes];
    T inverse_rms[rms_norm_block::kRows];
  };
  using Registers = Nothing;

  const T *x, *weight;
  T *y, *inverse_rms;
  int64_t rows;
  int d;
  T epsilon;

  int64_t blocks() const { return (rows + rms_norm_block::kRows - 1) / rms_norm_block::kRows; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    using namespace rms_norm_block;
    const int64_t first = block * kRows;
    const int lane = thread % kLanes;
    if (phase == 1) {
      if (thread >= kRows || first + thread >= rows) return;
      T sum = 0;
      for (int i = 0; i < kLanes; ++i) sum += shared.squares[thread][i];
      const T r = T(1) / std::sqrt(sum / static_cast<T>(d) + epsilon);
      shared.inverse_rms[thread] = r;
      inverse_rms[first + thread] = r;
      return;
    }
    for (int row = thread / kLanes; row < kRows && first + row < rows; row += kRowsAtOnce) {
      const T* from = x + (first + row) * d;
      if (phase == 0) {
        T sum = 0;
        for (int c = lane; c < d; c += kLanes) sum += from[c] * from[c];
        shared.squares[row][lane] = sum;
      } else {
        T* to = y + (first + row) * d;
        for (int c = lane; c < d; c += kLanes) {
          to[c] = from[c] * shared.inverse_rms[row] * weight[c];
        }
      }
    }
  }
};

/// Also upstream, d_x [rows, d]; beside [rows, d], which d_x begins with, or null; d_weight_parts
/// [blocks, d], to be summed over blocks.
template <typename T>
struct RmsNormBackward {
  static constexpr int kThreads = rms_norm_block::kThreads;
  struct Shared {
    T products[rms_norm_block::kRows][rms_norm_block::kLanes];
    T pull[rms_norm_block::kRows];  // r^3 mean(e w x)
  };
  using Registers = Nothing;

  const T *x, *weight, *inverse_rms, *upstream, *beside;
  T *d_x, *d_weight_parts;
  int64_t rows;
  int d;

  int64_t blocks() const { return (rows + rms_norm_block::kRows - 1) / rms_norm_block::kRows; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    using namespace rms_norm_block;
    const int64_t first = block * kRows;
    const int lane = thread % kLanes;
    if (phase == 1) {
      if (thread >= kRows || first + thread >= rows) return;
      T sum = 0;
      for (int i = 0; i < kLanes; ++i) sum += shared.products[thread][i];
      const T r = inverse_rms[first + thread];
      shared.pull[thread] = r * r * r * sum / static_cast<T>(d);
      return;
    }
    for (int row = thread / kLanes; row < kRows && first + row < rows; row += kRowsAtOnce) {
      const int64_t at = (first + row) * d;
      if (phase == 0) {
        T sum = 0;
        for (int c = lane; c < d; c += kLanes) sum += upstream[at + c] * weight[c] * x[at + c];
        shared.products[row][lane] = sum;
      } else {
        const T r = inverse_rms[first + row];
        for (int c = lane; c < d; c += kLanes) {
          const T own = r * upstream[at + c] * weight[c] - x[at + c] * shared.pull[row];
          d_x[at + c] = beside != nullptr ? beside[at + c] + own : own;
        }
      }
    }
    if (phase == 2) {
      for (int c = thread; c < d; c += kThreads) {
        T sum = 0;
        for (int64_t row = first; row < rows && row < first + kRows; ++row) {
          sum += upstream[row * d + c] * x[row * d + c] * inverse_rms[row];
        }
        d_weight_parts[block * d + c] = sum;
      }
    }
  }
};

}  // namespace cdsp
