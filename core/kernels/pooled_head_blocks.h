// The network's end (pooled_head.h) as block programs. With r_t = 1 / sqrt(mean(h_t^2) + eps) of a
// token, and n = mean_t h_t r_t of an image:
//
//   logits = W (w * n) + b                        w: the norm's weight
//
// and on the way back, with E = dL/dlogits of an image and A = sum over images of E n^T:
//
//   s = w * W^T E / positions       dh_t = r_t s - h_t r_t^3 mean(s h_t)
//   dW = A diag(w)       dw_c = sum over classes k of W_kc A_kc       db = sum over images of E
//
// No token's norm is ever stored. A is a product of small tables, which other blocks of the same
// launch add up while the first ones write dh.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

namespace pooled_head_block {

inline constexpr int kThreads = 512;                     // a batch is about as many images as SMs
inline constexpr int kRows = 64;                         // an image's tokens at once
inline constexpr int kLanes = kThreads / kRows;          // threads that share a token
inline constexpr int kClasses = 32;                      // classes at once
inline constexpr int kClassLanes = kThreads / kClasses;  // threads that share a class
inline constexpr int kColumns = 2;  // of A, for a block: few, as its sums run over all images
inline constexpr int kKept = 512;   // numbers that stay in shared memory; of more, none do

CDSP_HOST_DEVICE int turns_of(int things, int at_once) { return (things + at_once - 1) / at_once; }

/// Neighbouring threads have neighbouring sums, and each sum is divided between `slices` threads,
/// `width` apart. Sums beyond the block's threads have their turn later.
struct Sums {
  int first, width, slices;

  CDSP_HOST_DEVICE Sums(int turn, int all) : first(turn * kThreads) {
    width = all - first < kThreads ? all - first : kThreads;
    slices = kThreads / width;
  }
};

}  // namespace pooled_head_block

/// h [images, positions, d], norm [d], weight [classes, d], bias [classes] or null -> logits
/// [images, classes]. Kept for the way back: inverse_rms [images, positions], mean [images, d],
/// which is n. A block an image.
template <typename T>
struct PooledHeadForward {
  static constexpr int kThreads = pooled_head_block::kThreads;
  struct Shared {
    // A column more than there are lanes: the reads of those who add up rows meet in no bank.
    T squares[pooled_head_block::kRows][pooled_head_block::kLanes + 1];
    T logits[pooled_head_block::kClasses][pooled_head_block::kClassLanes + 1];
    T parts[kThreads];
    T inverse_rms[pooled_head_block::kKept], mean[pooled_head_block::kKept];
  };
  using Registers = Nothing;

  const T *h, *norm, *weight, *bias;
  T *logits, *inverse_rms, *mean;
  int64_t images;
  int positions, d, classes;
  T epsilon;

  int64_t blocks() const { return images; }
  CDSP_HOST_DEVICE int phases(int64_t) const {
    using namespace pooled_head_block;
    return 2 * (turns_of(positions, kRows) + turns_of(d, kThreads) + turns_of(classes, kClasses));
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t image, int thread, Shared& shared,
                            Registers&) const {
    using namespace pooled_head_block;
    const bool is_first_half = phase % 2 == 0;
    int turn = phase / 2;
    if (turn < turns_of(positions, kRows)) {
      if (is_first_half) return squares_of_tokens(turn, image, thread, shared);
      return finish_tokens(turn, image, thread, shared);
    }
    turn -= turns_of(positions, kRows);
    if (turn < turns_of(d, kThreads)) {
      const Sums sums(turn, d);
      if (is_first_half) return sum_columns(sums, image, thread, shared);
      return finish_columns(sums, image, thread, shared);
    }
    turn -= turns_of(d, kThreads);
    if (is_first_half) return sum_logits(turn, image, thread, shared);
    finish_logits(turn, image, thread, shared);
  }

  CDSP_HOST_DEVICE void squares_of_tokens(int turn, int64_t image, int thread,
                                          Shared& shared) const {
    using namespace pooled_head_block;
    const int row = thread / kLanes, lane = thread % kLanes;
    const int position = turn * kRows + row;
    if (position >= positions) return;
    const T* from = h + (image * positions + position) * d;
    shared.squares[row][lane] =
        strided_sum<T, 8>(lane, d, kLanes, [&](int c) { return from[c] * from[c]; });
  }

  CDSP_HOST_DEVICE void finish_tokens(int turn, int64_t image, int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int position = turn * kRows + thread;
    if (thread >= kRows || position >= positions) return;
    T sum = 0;
    CDSP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) sum += shared.squares[thread][lane];
    const T r = T(1) / std::sqrt(sum / static_cast<T>(d) + epsilon);
    inverse_rms[image * positions + position] = r;
    if (position < kKept) shared.inverse_rms[position] = r;
  }

  CDSP_HOST_DEVICE void sum_columns(const pooled_head_block::Sums& sums, int64_t image, int thread,
                                    Shared& shared) const {
    using namespace pooled_head_block;
    const int slice = thread / sums.width;
    if (slice >= sums.slices) return;
    const T* from = h + image * positions * d + sums.first + thread % sums.width;
    const T* r = positions <= kKept ? shared.inverse_rms : inverse_rms + image * positions;
    shared.parts[thread] = strided_sum<T, 8>(slice, positions, sums.slices, [&](int t) {
      const int at = t * d;
      return from[at] * r[t];
    });
  }

  CDSP_HOST_DEVICE void finish_columns(const pooled_head_block::Sums& sums, int64_t image,
                                       int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int c = sums.first + thread;
    if (thread >= sums.width) return;
    const T sum = strided_sum<T, 4>(
        0, sums.slices, 1, [&](int slice) { return shared.parts[slice * sums.width + thread]; });
    const T n = sum / static_cast<T>(positions);
    mean[image * d + c] = n;
    if (c < kKept) shared.mean[c] = n;
  }

  CDSP_HOST_DEVICE void sum_logits(int turn, int64_t image, int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int row = thread / kClassLanes, lane = thread % kClassLanes;
    const int k = turn * kClasses + row;
    if (k >= classes) return;
    const T* of_class = weight + static_cast<int64_t>(k) * d;
    const T* n = d <= kKept ? shared.mean : mean + image * d;
    const T added = lane == 0 && bias != nullptr ? bias[k] : T(0);
    shared.logits[row][lane] = added + strided_sum<T, 4>(lane, d, kClassLanes, [&](int c) {
                                 return of_class[c] * (norm[c] * n[c]);
                               });
  }

  CDSP_HOST_DEVICE void finish_logits(int turn, int64_t image, int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int k = turn * kClasses + thread;
    if (thread >= kClasses || k >= classes) return;
    logits[image * classes + k] =
        strided_sum<T, 4>(0, kClassLanes, 1, [&](int lane) { return shared.logits[thread][lane]; });
  }
};

/// upstream [images, classes] is E -> d_h [images, positions, d], d_norm [d], d_weight [classes,
/// d], d_bias [classes] or null. slopes [images, d] is s, for the block's own use. A block kColumns
/// columns of A, to which E's own sum is one more, then a block an image.
template <typename T>
struct PooledHeadBackward {
  static constexpr int kThreads = pooled_head_block::kThreads;
  struct Shared {
    T parts[kThreads];
    T products[kThreads];                                              // W * A
    T slopes[pooled_head_block::kKept];                                // s
    T alike[pooled_head_block::kRows][pooled_head_block::kLanes + 1];  // of s h_t; see squares
    T inverse_rms[pooled_head_block::kRows], pull[pooled_head_block::kRows];  // r^3 mean(s h_t)
  };
  struct Registers {
    T inverse_rms, d_norm;
  };

  const T *h, *norm, *weight, *inverse_rms, *mean, *upstream;
  T *d_h, *d_norm, *d_weight, *d_bias, *slopes;
  int64_t images;
  int positions, d, classes;

  CDSP_HOST_DEVICE int columns() const { return d_bias != nullptr ? d + 1 : d; }
  CDSP_HOST_DEVICE int pairs() const { return classes * pooled_head_block::kColumns; }
  CDSP_HOST_DEVICE int blocks_of_parameters() const {
    return pooled_head_block::turns_of(columns(), pooled_head_block::kColumns);
  }
  int64_t blocks() const { return blocks_of_parameters() + images; }
  CDSP_HOST_DEVICE int phases(int64_t block) const {
    using namespace pooled_head_block;
    if (block < blocks_of_parameters()) return 3 * turns_of(pairs(), kThreads);
    return 2 * turns_of(d, kThreads) + 3 * turns_of(positions, kRows);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& registers) const {
    using namespace pooled_head_block;
    if (block < blocks_of_parameters()) {
      const int first_column = static_cast<int>(block) * kColumns;
      const Sums sums(phase / 3, pairs());
      if (phase % 3 == 0) return sum_pairs(sums, first_column, thread, shared);
      if (phase % 3 == 1) return finish_pairs(sums, first_column, thread, shared);
      return sum_norm(sums, first_column, thread, shared, registers);
    }
    const int64_t image = block - blocks_of_parameters();
    if (phase < 2 * turns_of(d, kThreads)) {
      const Sums sums(phase / 2, d);
      if (phase % 2 == 0) return sum_slopes(sums, image, thread, shared);
      return finish_slopes(sums, image, thread, shared);
    }
    phase -= 2 * turns_of(d, kThreads);
    const int first = phase / 3 * kRows;
    if (phase % 3 == 0) return sum_products(first, image, thread, shared, registers);
    if (phase % 3 == 1) return finish_products(first, thread, shared, registers);
    slopes_of_tokens(first, image, thread, shared);
  }

  CDSP_HOST_DEVICE void sum_pairs(const pooled_head_block::Sums& sums, int first_column, int thread,
                                  Shared& shared) const {
    using namespace pooled_head_block;
    const int slice = thread / sums.width, pair = sums.first + thread % sums.width;
    const int k = pair / kColumns, c = first_column + pair % kColumns;
    if (slice >= sums.slices || c >= columns()) return;
    // The column beside A is that of the bias: n is 1 there, whichever number is read.
    const bool is_bias = c == d;
    const T* n = mean + (is_bias ? 0 : c);
    const int all = static_cast<int>(images);  // each has a block, and a grid no more than that
    shared.parts[thread] = strided_sum<T, 8>(slice, all, sums.slices, [&](int image) {
      const T of_image = n[static_cast<int64_t>(image) * d];
      return upstream[static_cast<int64_t>(image) * classes + k] * (is_bias ? T(1) : of_image);
    });
  }

  CDSP_HOST_DEVICE void finish_pairs(const pooled_head_block::Sums& sums, int first_column,
                                     int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int pair = sums.first + thread;
    const int k = pair / kColumns, c = first_column + pair % kColumns;
    if (thread >= sums.width || c >= columns()) return;
    const bool is_bias = c == d;
    const int64_t at = static_cast<int64_t>(k) * d + c;
    const T of_norm = is_bias ? T(0) : norm[c], of_weight = is_bias ? T(0) : weight[at];
    const T a = strided_sum<T, 8>(
        0, sums.slices, 1, [&](int slice) { return shared.parts[slice * sums.width + thread]; });
    shared.products[thread] = of_weight * a;
    if (is_bias) {
      d_bias[k] = a;
    } else {
      d_weight[at] = of_norm * a;
    }
  }

  CDSP_HOST_DEVICE void sum_norm(const pooled_head_block::Sums& sums, int first_column, int thread,
                                 const Shared& shared, Registers& registers) const {
    using namespace pooled_head_block;
    const int c = first_column + thread;
    if (thread >= kColumns || c >= d) return;
    const T sum = strided_sum<T, 4>(thread, sums.width, kColumns,
                                    [&](int pair) { return shared.products[pair]; });
    registers.d_norm = sums.first == 0 ? sum : registers.d_norm + sum;
    if (sums.first + sums.width == pairs()) d_norm[c] = registers.d_norm;
  }

  CDSP_HOST_DEVICE void sum_slopes(const pooled_head_block::Sums& sums, int64_t image, int thread,
                                   Shared& shared) const {
    using namespace pooled_head_block;
    const int slice = thread / sums.width, c = sums.first + thread % sums.width;
    if (slice >= sums.slices) return;
    const T of_norm = norm[c];
    const T* e = upstream + image * classes;
    const T sum = strided_sum<T, 4>(slice, classes, sums.slices, [&](int k) {
      return weight[static_cast<int64_t>(k) * d + c] * e[k];
    });
    shared.parts[thread] = of_norm * sum / static_cast<T>(positions);
  }

  CDSP_HOST_DEVICE void finish_slopes(const pooled_head_block::Sums& sums, int64_t image,
                                      int thread, Shared& shared) const {
    using namespace pooled_head_block;
    const int c = sums.first + thread;
    if (thread >= sums.width) return;
    const T s = strided_sum<T, 4>(
        0, sums.slices, 1, [&](int slice) { return shared.parts[slice * sums.width + thread]; });
    if (d <= kKept) {
      shared.slopes[c] = s;
    } else {
      slopes[image * d + c] = s;
    }
  }

  CDSP_HOST_DEVICE const T* slopes_of(int64_t image, const Shared& shared) const {
    return d <= pooled_head_block::kKept ? shared.slopes : slopes + image * d;
  }

  CDSP_HOST_DEVICE void sum_products(int first, int64_t image, int thread, Shared& shared,
                                     Registers& registers) const {
    using namespace pooled_head_block;
    // For the next phase, which then does not wait for it.
    if (thread < kRows && first + thread < positions)
      registers.inverse_rms = inverse_rms[image * positions + first + thread];
    const int row = thread / kLanes, lane = thread % kLanes;
    if (first + row >= positions) return;
    const T* from = h + (image * positions + first + row) * d;
    const T* s = slopes_of(image, shared);
    shared.alike[row][lane] =
        strided_sum<T, 8>(lane, d, kLanes, [&](int c) { return s[c] * from[c]; });
  }

  CDSP_HOST_DEVICE void finish_products(int first, int thread, Shared& shared,
                                        const Registers& registers) const {
    using namespace pooled_head_block;
    if (thread >= kRows || first + thread >= positions) return;
    T sum = 0;
    CDSP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) sum += shared.alike[thread][lane];
    const T r = registers.inverse_rms;
    shared.inverse_rms[thread] = r;
    shared.pull[thread] = r * r * r * sum / static_cast<T>(d);
  }

  CDSP_HOST_DEVICE void slopes_of_tokens(int first, int64_t image, int thread,
                                         const Shared& shared) const {
    using namespace pooled_head_block;
    const int row = thread / kLanes, lane = thread % kLanes;
    if (first + row >= positions) return;
    const T* from = h + (image * positions + first + row) * d;
    T* to = d_h + (image * positions + first + row) * d;
    const T* s = slopes_of(image, shared);
    const T r = shared.inverse_rms[row], pull = shared.pull[row];
    constexpr int kAtOnce =
        8;  // all reads before the first write, which could be to the same place
    for (int begin = lane; begin < d; begin += kAtOnce * kLanes) {
      T values[kAtOnce];
      CDSP_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        const int c = begin + j * kLanes < d ? begin + j * kLanes : begin;
        values[j] = r * s[c] - from[c] * pull;
      }
      CDSP_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        const int c = begin + j * kLanes;
        if (c < d) to[c] = values[j];
      }
    }
  }
};

}  // namespace cdsp
