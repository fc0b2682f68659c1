// Grouping tokens by expert (expert_grouping.h) as block programs: how many pairs each expert has,
// how many of them each tile of pairs has, then a tile's pairs to their rows. Pairs stay in the
// order of the tokens, and nothing depends on which block is first.
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

/// Pairs of a tile: a thread each.
inline constexpr int kPairsOfTile = 256;

/// indices [pairs] -> tile_counts [tiles, experts].
struct CountPairsOfTiles {
  static constexpr int kThreads = kPairsOfTile;
  struct Shared {
    int expert[kThreads];
    int found[kThreads];  // [lanes, experts], where an expert's count is shared out to lanes
  };
  using Registers = Nothing;

  const int64_t* indices;
  int* tile_counts;
  int64_t pairs;
  int experts;

  int64_t blocks() const { return (pairs + kThreads - 1) / kThreads; }
  /// Threads that count for the same expert.
  CDSP_HOST_DEVICE int lanes() const { return experts < kThreads ? kThreads / experts : 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t tile, int thread, Shared& shared, Registers&) const {
    if (phase == 0) {
      const int64_t pair = tile * kThreads + thread;
      shared.expert[thread] = pair < pairs ? static_cast<int>(indices[pair]) : -1;
    } else if (phase == 1) {
      for (int i = thread; i < experts * lanes(); i += kThreads) {
        const int expert = i % experts;
        int found = 0;
        for (int pair = i / experts; pair < kThreads; pair += lanes())
          found += shared.expert[pair] == expert ? 1 : 0;
        if (lanes() == 1) {
          tile_counts[tile * experts + expert] = found;
        } else {
          shared.found[i] = found;
        }
      }
    } else if (lanes() > 1 && thread < experts) {
      int sum = 0;
      for (int lane = 0; lane < lanes(); ++lane) sum += shared.found[lane * experts + thread];
      tile_counts[tile * experts + thread] = sum;
    }
  }
};

/// count [experts] and tile_counts; indices [tokens, k], weights [tokens, experts] -> token, weight
/// [chunks * chunk] and ownership [experts, chunks], as ExpertGrouping describes them.
template <typename T>
struct PlacePairs {
  static constexpr int kThreads = kPairsOfTile;
  struct Shared {
    int expert[kThreads];
    int found[kThreads];   // [lanes, experts]: in every lanes-th tile before this one
    int before[kThreads];  // [experts]: in all of them
  };
  using Registers = Nothing;

  const int64_t* indices;
  const T *count, *weights;
  const int* tile_counts;
  int64_t* token;
  T *weight, *ownership;
  int64_t tokens, chunk, chunks;
  int experts, k;

  CDSP_HOST_DEVICE int64_t pairs() const { return tokens * k; }
  CDSP_HOST_DEVICE int64_t tiles() const { return (pairs() + kThreads - 1) / kThreads; }
  int64_t blocks() const { return tiles(); }
  CDSP_HOST_DEVICE int lanes() const { return experts < kThreads ? kThreads / experts : 1; }
  /// Whether the experts' counts fit in what a block shares.
  CDSP_HOST_DEVICE bool shares_counts() const { return experts <= kThreads; }
  CDSP_HOST_DEVICE int64_t count_of(int64_t expert) const {
    return static_cast<int64_t>(count[expert]);
  }
  CDSP_HOST_DEVICE int64_t chunks_of(int64_t expert) const {
    return (count_of(expert) + chunk - 1) / chunk;
  }
  CDSP_HOST_DEVICE int64_t first_chunk_of(int64_t expert) const {
    int64_t first = 0;
    for (int64_t e = 0; e < expert; ++e) first += chunks_of(e);
    return first;
  }

  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t tile, int thread, Shared& shared, Registers&) const {
    const int64_t pair = tile * kThreads + thread;
    if (phase == 0) {
      shared.expert[thread] = pair < pairs() ? static_cast<int>(indices[pair]) : -1;
      if (shares_counts() && thread < experts * lanes())
        shared.found[thread] = before(tile, thread % experts, thread / experts, lanes());
    } else if (phase == 1) {
      if (shares_counts() && thread < experts) {
        int sum = 0;
        for (int lane = 0; lane < lanes(); ++lane) sum += shared.found[lane * experts + thread];
        shared.before[thread] = sum;
      }
    } else {
      if (pair < pairs()) place(pair, tile, thread, shared);
      clear(tile, thread);
    }
  }

  /// Pairs of the expert in tiles first, first + step, ... before `tile`.
  CDSP_HOST_DEVICE int before(int64_t tile, int expert, int first, int step) const {
    int sum = 0;
    for (int64_t t = first; t < tile; t += step) sum += tile_counts[t * experts + expert];
    return sum;
  }

  CDSP_HOST_DEVICE void place(int64_t pair, int64_t tile, int thread, const Shared& shared) const {
    const int expert = shared.expert[thread];
    int64_t row = first_chunk_of(expert) * chunk;
    row += shares_counts() ? shared.before[expert] : before(tile, expert, 0, 1);
    for (int i = 0; i < thread; ++i) row += shared.expert[i] == expert ? 1 : 0;
    token[row] = pair / k;
    weight[row] = weights[pair / k * experts + expert];
  }

  /// The grid's share of the rows that are padding, and of the ownership.
  CDSP_HOST_DEVICE void clear(int64_t tile, int thread) const {
    const int64_t first = tile * kThreads + thread, step = tiles() * kThreads;
    for (int64_t row = first; row < chunks * chunk; row += step) {
      int64_t expert = 0, chunks_before = 0;
      while (expert < experts && row >= (chunks_before + chunks_of(expert)) * chunk)
        chunks_before += chunks_of(expert++);
      if (expert < experts && row - chunks_before * chunk < count_of(expert)) continue;
      token[row] = 0;
      weight[row] = 0;
    }
    for (int64_t i = first; i < experts * chunks; i += step) {
      const int64_t expert = i / chunks, from_own = i % chunks - first_chunk_of(expert);
      ownership[i] = from_own >= 0 && from_own < chunks_of(expert) ? T(1) : T(0);
    }
  }
};

}  // namespace cdsp
