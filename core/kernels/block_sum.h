// Sums for block programs, in a fixed order: of one number a thread, in two phases of their own,
// and of a row of numbers by one thread.
//
// A single thread that adds up all numbers would keep the others of its block waiting for as many
// reads as there are threads; in groups it is a few dozen.
#pragma once

#include "base/host_device.h"

namespace cdsp {

/// Threads of a group. A block's threads are a multiple of it.
inline constexpr int kSumGroup = 16;

/// First half, in a phase between barriers: the first thread of each group adds it up in place.
/// Nobody else may touch `values` in that phase.
template <int kThreads, typename T>
CDSP_HOST_DEVICE void sum_groups(T (&values)[kThreads], int thread) {
  static_assert(kThreads % kSumGroup == 0, "whole groups");
  if (thread % kSumGroup != 0) return;
  T sum = values[thread];
  for (int i = 1; i < kSumGroup; ++i) sum += values[thread + i];
  values[thread] = sum;
}

/// Second half, in a later phase, for any thread: the sum of all.
template <int kThreads, typename T>
CDSP_HOST_DEVICE T sum_of_groups(const T (&values)[kThreads]) {
  T sum = 0;
  for (int i = 0; i < kThreads; i += kSumGroup) sum += values[i];
  return sum;
}

/// term(begin) + term(begin + step) + ... of those before `end`. kAtOnce of them at a time, which
/// wait neither for one another's reads (hence no branch around a term: past the end it is another
/// one, not counted) nor, but for pairs of them, for one another's sum.
template <typename T, int kAtOnce, typename Term>
CDSP_HOST_DEVICE T strided_sum(int begin, int end, int step, const Term& term) {
  static_assert(kAtOnce % 4 == 0, "four sums");
  T sums[4] = {0, 0, 0, 0};
  for (int i = begin; i < end; i += kAtOnce * step) {
    T terms[kAtOnce];
    CDSP_UNROLL
    for (int j = 0; j < kAtOnce; ++j) terms[j] = term(i + j * step < end ? i + j * step : i);
    CDSP_UNROLL
    for (int j = 0; j < kAtOnce; ++j) sums[j % 4] += i + j * step < end ? terms[j] : T(0);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace cdsp
