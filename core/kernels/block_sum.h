// Sums of one number a thread, for block programs: two phases of their own, in a fixed order.
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

}  // namespace cdsp
