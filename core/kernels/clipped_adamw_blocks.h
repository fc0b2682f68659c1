// Clipping and AdamW over flat buffers (clipped_adamw.h) as block programs.
#pragma once

#include <cmath>

#include "kernels/adamw_constants.h"
#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

namespace clipped_adamw_block {
inline constexpr int kThreads = 256;

template <typename T>
CDSP_HOST_DEVICE bool is_finite(T x) {
  return x - x == T(0);
}
}  // namespace clipped_adamw_block

/// gradient [count] -> squares float64 [blocks]. Beside it what the update of a parameter takes
/// from its count, once instead of for each of its numbers: step_factors [parameters, 3].
template <typename T>
struct SquareSums {
  static constexpr int kThreads = clipped_adamw_block::kThreads;
  static constexpr int kEach = 4;  // numbers a thread takes
  struct Shared {
    double sums[kThreads];
  };
  using Registers = Nothing;

  const T* gradient;
  const double *rate, *decay;
  const int64_t* updates;
  double* squares;
  T* step_factors;
  int64_t count;
  int parameters;

  CDSP_HOST_DEVICE int64_t blocks_there() const {
    return (count + kThreads * kEach - 1) / (kThreads * kEach);
  }
  int64_t blocks() const { return blocks_there(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      for (int64_t p = block * kThreads + thread; p < parameters; p += blocks_there() * kThreads)
        prepare(static_cast<int>(p));
      double sum = 0;
      for (int i = 0; i < kEach; ++i) {
        const int64_t at = (block * kEach + i) * kThreads + thread;
        if (at < count)
          sum += static_cast<double>(gradient[at]) * static_cast<double>(gradient[at]);
      }
      shared.sums[thread] = sum;
    } else if (phase == 1) {
      sum_groups(shared.sums, thread);
    } else if (thread == 0) {
      squares[block] = sum_of_groups(shared.sums);
    }
  }

  /// 1 - rate decay, rate / (1 - beta1^t), sqrt(1 - beta2^t)
  CDSP_HOST_DEVICE void prepare(int parameter) const {
    using namespace adamw_constant;
    const double t = static_cast<double>(updates[parameter] + 1);
    T* factors = step_factors + 3 * parameter;
    factors[0] = static_cast<T>(1.0 - rate[parameter] * decay[parameter]);
    factors[1] = static_cast<T>(rate[parameter] / (1.0 - std::pow(kBeta1, t)));
    factors[2] = static_cast<T>(std::sqrt(1.0 - std::pow(kBeta2, t)));
  }
};

/// The update of all numbers; every block adds up `squares` [square_blocks] for itself.
template <typename T>
struct UpdateNumbers {
  static constexpr int kThreads = clipped_adamw_block::kThreads;
  struct Shared {
    double sums[kThreads];
  };
  using Registers = Nothing;

  T *value, *first_moment, *second_moment, *grad_norm;
  const T *gradient, *loss, *step_factors;
  const double* squares;
  const int32_t *owner, *spoilt;
  const uint8_t* reached;
  int64_t count;
  int square_blocks;
  double clip_norm;

  int64_t blocks() const { return (count + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    using namespace clipped_adamw_block;
    if (phase == 0) {
      double sum = 0;
      for (int i = thread; i < square_blocks; i += kThreads) sum += squares[i];
      shared.sums[thread] = sum;
      return;
    }
    if (phase == 1) return sum_groups(shared.sums, thread);
    const T norm = static_cast<T>(std::sqrt(sum_of_groups(shared.sums)));
    if (block == 0 && thread == 0) grad_norm[0] = norm;
    const bool is_spoilt = spoilt[0] != 0 || !is_finite(loss[0] + norm);
    const int64_t at = block * kThreads + thread;
    if (at >= count || is_spoilt) return;
    const T excess =
        static_cast<T>(clip_norm) / (norm + static_cast<T>(adamw_constant::kClipEpsilon));
    const T factor = clip_norm > 0 && excess < T(1) ? excess : T(1);
    const int32_t parameter = owner[at];
    if (reached[parameter] == 0) return;
    using namespace adamw_constant;
    const T* factors = step_factors + 3 * parameter;
    const T g = gradient[at] * factor;
    const T m = first_moment[at] * static_cast<T>(kBeta1) + g * static_cast<T>(1.0 - kBeta1);
    const T v = second_moment[at] * static_cast<T>(kBeta2) + g * g * static_cast<T>(1.0 - kBeta2);
    const T denominator = std::sqrt(v) / factors[2] + static_cast<T>(kEpsilon);
    first_moment[at] = m;
    second_moment[at] = v;
    value[at] = value[at] * factors[0] - factors[1] * m / denominator;
  }
};

/// After the update, when nobody reads them any more: the counts, and whether all is still well.
/// One block.
template <typename T>
struct CountUpdates {
  static constexpr int kThreads = clipped_adamw_block::kThreads;
  using Shared = Nothing;
  struct Registers {
    int is_spoilt;
  };

  int64_t* updates;
  int32_t* spoilt;
  const uint8_t* reached;
  const T *loss, *grad_norm;
  int parameters;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared&, Registers& own) const {
    using namespace clipped_adamw_block;
    if (phase == 0) {
      own.is_spoilt = spoilt[0] != 0 || !is_finite(loss[0] + grad_norm[0]) ? 1 : 0;
      return;
    }
    if (thread == 0) spoilt[0] = own.is_spoilt;
    if (own.is_spoilt != 0) return;
    for (int p = thread; p < parameters; p += kThreads) updates[p] += reached[p];
  }
};

}  // namespace cdsp
