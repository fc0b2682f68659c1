// Grouping tokens by expert (expert_grouping.h) as block programs, a block an expert: count, then
// place. A thread owns a stretch of the (token, slot) pairs, so the order stays that of the tokens.
#pragma once

#include "kernels/block_grid.h"

namespace cdsp {

/// indices [pairs] -> count [experts].
struct CountPairs {
  static constexpr int kThreads = 256;
  struct Shared {
    int64_t count[kThreads];
  };
  using Registers = Nothing;

  const int64_t* indices;
  int64_t* count;
  int64_t pairs;
  int experts;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    if (phase == 0) {
      int64_t found = 0;
      for (int64_t pair = thread; pair < pairs; pair += kThreads) found += indices[pair] == expert;
      shared.count[thread] = found;
    } else if (thread == 0) {
      int64_t sum = 0;
      for (int i = 0; i < kThreads; ++i) sum += shared.count[i];
      count[expert] = sum;
    }
  }
};

/// count of all experts; indices [tokens, k], weights [tokens, experts] -> token, weight
/// [chunks * chunk] and ownership [experts, chunks], as ExpertGrouping describes them.
template <typename T>
struct PlacePairs {
  static constexpr int kThreads = 256;
  struct Shared {
    int64_t count[kThreads];  // of a thread's stretch, then of all before it
    int64_t first_row, last_row, rows_of_expert;
  };
  using Registers = Nothing;

  const int64_t *indices, *count;
  const T* weights;
  int64_t* token;
  T *weight, *ownership;
  int64_t tokens, chunk, chunks;
  int experts, k;

  int64_t blocks() const { return experts; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t expert, int thread, Shared& shared,
                            Registers&) const {
    const int64_t pairs = tokens * k, stretch = (pairs + kThreads - 1) / kThreads;
    const int64_t begin = thread * stretch < pairs ? thread * stretch : pairs;
    const int64_t end = begin + stretch < pairs ? begin + stretch : pairs;
    if (phase == 0) {
      int64_t found = 0;
      for (int64_t pair = begin; pair < end; ++pair) found += indices[pair] == expert;
      shared.count[thread] = found;
      return;
    }
    if (phase == 1) {
      if (thread > 0) return;
      int64_t before = 0;
      for (int i = 0; i < kThreads; ++i) {
        const int64_t found = shared.count[i];
        shared.count[i] = before;
        before += found;
      }
      int64_t first_chunk = 0;
      for (int64_t e = 0; e < expert; ++e) first_chunk += (count[e] + chunk - 1) / chunk;
      const int64_t own_chunks = (count[expert] + chunk - 1) / chunk;
      shared.first_row = first_chunk * chunk;
      shared.rows_of_expert = own_chunks * chunk;
      // The chunks that nobody needs come last; they are the last expert's to clear.
      shared.last_row = expert == experts - 1 ? chunks * chunk : (first_chunk + own_chunks) * chunk;
      return;
    }
    int64_t row = shared.first_row + shared.count[thread];
    for (int64_t pair = begin; pair < end; ++pair) {
      if (indices[pair] != expert) continue;
      token[row] = pair / k;
      weight[row] = weights[pair / k * experts + expert];
      ++row;
    }
    for (int64_t padding = shared.first_row + count[expert] + thread; padding < shared.last_row;
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
