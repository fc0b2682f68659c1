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
  static constexpr int kThreads = 1024;  // there are few blocks
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
/// [chunks * chunk], owner [chunks] and first_chunk [experts + 1], as ExpertRows describes them.
template <typename T>
struct PlacePairs {
  static constexpr int kThreads = kPairsOfTile;
  struct Shared {
    int expert[kThreads];
    int found[kThreads];        // [lanes, experts]: in every lanes-th tile before this one
    int before[kThreads];       // [experts]: in all of them
    int chunk_count[kThreads];  // [experts]
    int first_chunk[kThreads + 1];
  };
  using Registers = Nothing;

  const int64_t* indices;
  const T *count, *weights;
  const int* tile_counts;
  int *token, *owner, *first_chunk;
  T* weight;
  int pairs, chunk, chunks, experts, k;

  CDSP_HOST_DEVICE int tiles() const { return (pairs + kThreads - 1) / kThreads; }
  int64_t blocks() const { return tiles(); }
  CDSP_HOST_DEVICE int lanes() const { return experts < kThreads ? kThreads / experts : 1; }
  /// Whether what a block knows of each expert fits in what it shares; else everybody looks it up.
  CDSP_HOST_DEVICE bool shares_experts() const { return experts <= kThreads; }
  CDSP_HOST_DEVICE int chunks_of(int expert) const {
    return (static_cast<int>(count[expert]) + chunk - 1) / chunk;
  }
  /// For `expert` from 0 to experts.
  CDSP_HOST_DEVICE int first_chunk_of(int expert, const Shared& shared) const {
    if (shares_experts()) return shared.first_chunk[expert];
    int first = 0;
    for (int e = 0; e < expert; ++e) first += chunks_of(e);
    return first;
  }

  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    const int tile = static_cast<int>(block), pair = tile * kThreads + thread;
    if (phase == 0) {
      shared.expert[thread] = pair < pairs ? static_cast<int>(indices[pair]) : -1;
      if (!shares_experts()) return;
      if (thread < experts * lanes())
        shared.found[thread] = before(tile, thread % experts, thread / experts, lanes());
      if (thread < experts) shared.chunk_count[thread] = chunks_of(thread);
    } else if (phase == 1) {
      if (!shares_experts()) return;
      if (thread < experts) {
        int sum = 0;
        for (int lane = 0; lane < lanes(); ++lane) sum += shared.found[lane * experts + thread];
        shared.before[thread] = sum;
      }
      for (int expert = thread; expert <= experts; expert += kThreads) {
        int sum = 0;
        for (int e = 0; e < expert; ++e) sum += shared.chunk_count[e];
        shared.first_chunk[expert] = sum;
      }
    } else {
      if (pair < pairs) place(pair, tile, thread, shared);
      clear(tile, thread, shared);
    }
  }

  /// Pairs of the expert in tiles first, first + step, ... before `tile`.
  CDSP_HOST_DEVICE int before(int tile, int expert, int first, int step) const {
    int sum = 0;
    for (int t = first; t < tile; t += step) sum += tile_counts[t * experts + expert];
    return sum;
  }

  CDSP_HOST_DEVICE void place(int pair, int tile, int thread, const Shared& shared) const {
    const int expert = shared.expert[thread], from = pair / k;
    int row = first_chunk_of(expert, shared) * chunk;
    row += shares_experts() ? shared.before[expert] : before(tile, expert, 0, 1);
    for (int i = 0; i < thread; ++i) row += shared.expert[i] == expert ? 1 : 0;
    token[row] = from;
    weight[row] = weights[static_cast<int64_t>(from) * experts + expert];
  }

  /// The grid's share of the rows that are padding, and of the tables of chunks.
  CDSP_HOST_DEVICE void clear(int tile, int thread, const Shared& shared) const {
    const int first = tile * kThreads + thread, step = tiles() * kThreads;
    for (int row = first; row < chunks * chunk; row += step) {
      const int expert = owner_of(row / chunk, shared);
      if (expert < experts &&
          row - first_chunk_of(expert, shared) * chunk < static_cast<int>(count[expert]))
        continue;
      token[row] = 0;
      weight[row] = 0;
    }
    for (int c = first; c < chunks; c += step) owner[c] = owner_of(c, shared);
    for (int expert = first; expert <= experts; expert += step)
      first_chunk[expert] = first_chunk_of(expert, shared);
  }

  CDSP_HOST_DEVICE int owner_of(int chunk_number, const Shared& shared) const {
    int expert = 0;
    while (expert < experts && chunk_number >= first_chunk_of(expert + 1, shared)) ++expert;
    return expert;
  }
};

}  // namespace cdsp
