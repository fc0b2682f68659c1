// What one layer's topology adds to the objective (lagged_game.h, penalty.h), as a block program of
// one block:
//
//   C_ij = L_ij where both experts are active now, 0 elsewhere and on the diagonal
//
//   conflict = sum_ij f(A_ij) C_ij
//
//   reg = l1 mean|A| + determinism mean(s (1 - s)),   s = sigma(A)
//
//   dA_ij = lambda f'(A_ij) C_ij + dreg / dA_ij
#pragma once

#include <cmath>

#include "conflict/penalty_slope.h"
#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// alpha, lagged [experts, experts], active [experts] -> gradient [experts, experts]; C is added to
/// epoch_conflict [experts, experts], conflict and reg to terms [2], which the first layer sets.
template <typename T>
struct ConflictTerms {
  static constexpr int kThreads = 256;
  struct Shared {
    double conflict[kThreads], size[kThreads], doubt[kThreads];
  };
  using Registers = Nothing;

  const T *alpha, *lagged;
  const bool* active;
  T* gradient;
  double *epoch_conflict, *terms;
  int experts;
  bool is_first;
  ConflictPenalty penalty;
  double lambda, l1, determinism;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared& shared, Registers&) const {
    const int links = experts * experts;
    if (phase == 0) {
      double conflict = 0, size = 0, doubt = 0;
      for (int at = thread; at < links; at += kThreads) {
        const int i = at / experts, j = at % experts;
        const T a = alpha[at], strength = T(1) / (T(1) + std::exp(-a));
        const T variance = strength * (T(1) - strength);
        const ValueAndSlope<T> f = penalty_at(a, strength, penalty);
        // A product, so that what is not finite shows.
        const T c = lagged[at] * (i != j && active[i] && active[j] ? T(1) : T(0));
        const T sign = static_cast<T>((a > T(0) ? 1 : 0) - (a < T(0) ? 1 : 0));
        epoch_conflict[at] += static_cast<double>(c);
        conflict += static_cast<double>(f.value * c);
        size += std::fabs(static_cast<double>(a));
        doubt += static_cast<double>(variance);
        gradient[at] = static_cast<T>(lambda) * f.slope * c +
                       (static_cast<T>(l1) * sign +
                        static_cast<T>(determinism) * variance * (T(1) - strength - strength)) /
                           static_cast<T>(links);
      }
      shared.conflict[thread] = conflict;
      shared.size[thread] = size;
      shared.doubt[thread] = doubt;
    } else if (phase == 1) {
      sum_groups(shared.conflict, thread);
      sum_groups(shared.size, thread);
      sum_groups(shared.doubt, thread);
    } else if (thread == 0) {
      const double conflict = sum_of_groups(shared.conflict);
      const double reg =
          (l1 * sum_of_groups(shared.size) + determinism * sum_of_groups(shared.doubt)) / links;
      terms[0] = is_first ? conflict : terms[0] + conflict;
      terms[1] = is_first ? reg : terms[1] + reg;
    }
  }
};

}  // namespace cdsp
