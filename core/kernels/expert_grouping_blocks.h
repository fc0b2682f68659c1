// Grouping tokens by expert (expert_grouping.h) as block programs, a block an expert: count, then
// place. A thread owns a stretch of the (token, slot) pairs, so the order stays that of the tokens.
#pragma once

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// indices [pairs] -> count [experts], as numbers of the network's dtype (exact up to 2^24).
template <typename T>
struct CountPairs {
  static constexpr int kThreads = 256;
  struct Shared {
    int count[kThreads];
  };
  using Registers = Nothing;

  const int64_t* indices;
  T* count;
  int64_t pairs;
  int experts;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      int found = 0;
      for (int64_t pair = thread; pair < pairs; pair += kThreads) found += indices[pair] == expert;
      shared.count[thread] = found;
    } else if (phase == 1) {
      sum_groups(shared.count, thread);
    } else if (thread == 0) {
      count[expert] = static_cast<T>(sum_of_groups(shared.count));
    }
  }
};

/// count of all experts; indices [tokens, k], weights [tokens, experts] -> token, weight
/// [chunks * chunk] and ownership [experts, chunks], as ExpertGrouping describes them.
template <typename T>
struct PlacePairs {
  static constexpr int kThreads = 256;
  struct Shared {
    int before[kThreads];             // in a thread's stretch, then in those before it in its group
    int group[kThreads / kSumGroup];  // in the stretches of a group
    int64_t first_row, last_row, rows_of_expert;
  };
  using Registers = Nothing;

  const int64_t* indices;
  const T *count, *weights;
  int64_t* token;
  T *weight, *ownership;
  int64_t tokens, chunk, chunks;
  int experts, k;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int64_t count_of(int64_t expert) const {
    return static_cast<int64_t>(count[expert]);
  }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    const int64_t pairs = tokens * k, stretch = (pairs + kThreads - 1) / kThreads;
    const int64_t begin = thread * stretch < pairs ? thread * stretch : pairs;
    const int64_t end = begin + stretch < pairs ? begin + stretch : pairs;
    if (phase == 0) {
      int found = 0;
      for (int64_t pair = begin; pair < end; ++pair) found += indices[pair] == expert;
      shared.before[thread] = found;
      return;
    }
    if (phase == 1) {
      if (thread % kSumGroup == 0) {
        int sum = 0;
        for (int i = thread; i < thread + kSumGroup; ++i) {
          const int found = shared.before[i];
          shared.before[i] = sum;
          sum += found;
        }
        shared.group[thread / kSumGroup] = sum;
      }
      if (thread != kThreads - 1) return;
      int64_t first_chunk = 0;
      for (int64_t e = 0; e < expert; ++e) first_chunk += (count_of(e) + chunk - 1) / chunk;
      const int64_t own_chunks = (count_of(expert) + chunk - 1) / chunk;
      shared.first_row = first_chunk * chunk;
      shared.rows_of_expert = own_chunks * chunk;
      // The chunks that nobody needs come last; they are the last expert's to clear.
      shared.last_row = expert == experts - 1 ? chunks * chunk : (first_chunk + own_chunks) * chunk;
      return;
    }
    int64_t row = shared.first_row + shared.before[thread];
    for (int group = 0; group < thread / kSumGroup; ++group) row += shared.group[group];
    for (int64_t pair = begin; pair < end; ++pair) {
      if (indices[pair] != expert) continue;
      token[row] = pair / k;
      weight[row] = weights[pair / k * experts + expert];
      ++row;
    }
    for (int64_t padding = shared.first_row + count_of(expert) + thread; padding < shared.last_row;
         padding += kThreads) {
      token[padding] = 0;
      weight[padding] = 0;
    }
    const int64_t first_chunk = shared.first_row / chunk;
    const int64_t end_chunk = first_chunk + shared.rows_of_expert / chunk;
    for (int64_t c = thread; c < chunks; c += kThreads) {
      ownership[expert * chunks + c] = c >= first_chunk && c < end_chunk ? T(1) : T(0);
    }
  }
};

}  // namespace cdsp
