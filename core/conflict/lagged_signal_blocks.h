// The lagged signal (lagged_signal.h) as two block programs, each of which takes several layers at
// once: the sums over a few columns, then the sums over all and the signal.
//
//   dot_ij  = sum_c <g_i, g_j>_c       meets_ij = sum_c M_ic M_jc
//
//   left_ij = sum_c M_jc |g_i|^2_c     right_ij = sum_c M_ic |g_j|^2_c
//
//   cos_ij  = dot_ij / ((sqrt(left_ij) + eps) (sqrt(right_ij) + eps))
//
// with _c the part of U's column c and V's row c. Pairs of experts come as pairs of tiles of kTile
// experts, so that a number read serves kTile pairs.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

namespace lagged_signal_block {
inline constexpr int kLayers = 8;  // of one launch
inline constexpr int kTile = 4;
inline constexpr int kPairs = kTile * kTile;  // of two tiles
// Of a block: in float32 the 32 bytes that memory gives at least.
inline constexpr int kColumns = 8;
inline constexpr int kSums = 4;  // dot, left, right, meets
inline constexpr int kSumsOfPairs = kSums * kPairs;
}  // namespace lagged_signal_block

template <typename T>
struct LaggedSignalLayer {
  const T *u, *v;  // [experts, d, columns], [experts, columns, d]; v may be null: kind `u`
  const T* mask;   // [experts, columns]
  const bool* active;
  T* lagged;  // [experts, experts]
};

/// The layers of a launch, which have one shape, and what their blocks are.
template <typename T>
struct LaggedSignalLayers {
  LaggedSignalLayer<T> layer[lagged_signal_block::kLayers];
  int layers, experts, d, columns;

  CDSP_HOST_DEVICE int tiles() const {
    return (experts + lagged_signal_block::kTile - 1) / lagged_signal_block::kTile;
  }
  CDSP_HOST_DEVICE int tile_pairs() const { return tiles() * (tiles() + 1) / 2; }
  CDSP_HOST_DEVICE int pieces() const {
    return (columns + lagged_signal_block::kColumns - 1) / lagged_signal_block::kColumns;
  }
  /// Numbers between the two programs: [layers, tile pairs, pieces, kSums, kPairs].
  int64_t parts() const {
    return static_cast<int64_t>(layers) * tile_pairs() * pieces() *
           lagged_signal_block::kSumsOfPairs;
  }
};

/// Tiles I <= J, row by row: (0, 0), (0, 1), ..., (1, 1), ...
struct LaggedSignalTiles {
  int first_i, first_j;  // experts

  CDSP_HOST_DEVICE static LaggedSignalTiles of(int tile_pair, int tiles) {
    int i = 0;
    for (; tile_pair >= tiles - i; ++i) tile_pair -= tiles - i;
    return {i * lagged_signal_block::kTile, (i + tile_pair) * lagged_signal_block::kTile};
  }
};

/// A block: a layer, a pair of tiles, kColumns columns.
template <typename T>
struct LaggedSignalParts {
  static constexpr int kColumns = lagged_signal_block::kColumns;
  static constexpr int kTile = lagged_signal_block::kTile;
  static constexpr int kPairs = lagged_signal_block::kPairs;
  static constexpr int kRowLanes = sizeof(T) <= 4 ? 32 : 16;  // as shared memory allows
  static constexpr int kThreads = kColumns * kRowLanes;
  // Of a column: dots of the pairs, |g|^2 of the first tile's experts, and of the second's.
  static constexpr int kColumnSums = kPairs + 2 * kTile;
  struct Shared {
    // Some wider than they are many, so that a warp's sums do not lie in the same banks.
    T lanes[kColumnSums][kThreads + kColumns];
    T sums[kColumnSums][kColumns];
    T mask[2 * kTile][kColumns];
  };
  struct Registers {
    T mask;  // on its way to shared memory, which nothing waits for while the sums are made
  };

  LaggedSignalLayers<T> of;
  T* parts;

  int64_t blocks() const { return static_cast<int64_t>(of.layers) * of.tile_pairs() * of.pieces(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int local = thread / kColumns, local_column = thread % kColumns;
    const bool has_mask = local < 2 * kTile;
    if (phase == 0) {
      // No division of 64 bits, which takes long: a grid has fewer than 2^31 blocks.
      const int which = static_cast<int>(block), pair_of_layer = which / of.pieces();
      const int column = which % of.pieces() * kColumns + local_column;
      const LaggedSignalLayer<T>& layer = of.layer[pair_of_layer / of.tile_pairs()];
      const LaggedSignalTiles tiles =
          LaggedSignalTiles::of(pair_of_layer % of.tile_pairs(), of.tiles());
      own.mask =
          has_mask && column < of.columns
              ? layer.mask[static_cast<int64_t>(expert_at(tiles, local)) * of.columns + column]
              : T(0);
      sum_rows(layer, tiles, column, thread, shared);
    } else if (phase == 1) {
      if (has_mask) shared.mask[local][local_column] = own.mask;
      sum_lanes(thread, shared);
    } else if (thread < lagged_signal_block::kSumsOfPairs) {
      parts[block * lagged_signal_block::kSumsOfPairs + thread] = part(thread, shared);
    }
  }

  /// Number `local` of the first tile's experts and then the second's. Beyond the last expert it is
  /// the last one: the sums are made, and nobody reads them.
  CDSP_HOST_DEVICE int expert_at(const LaggedSignalTiles& tiles, int local) const {
    const int expert = local < kTile ? tiles.first_i + local : tiles.first_j + local - kTile;
    return expert < of.experts ? expert : of.experts - 1;
  }

  CDSP_HOST_DEVICE void sum_rows(const LaggedSignalLayer<T>& layer, const LaggedSignalTiles& tiles,
                                 int column, int thread, Shared& shared) const {
    T dot[kPairs], square[2 * kTile];
    CDSP_UNROLL
    for (int pair = 0; pair < kPairs; ++pair) dot[pair] = 0;
    CDSP_UNROLL
    for (int local = 0; local < 2 * kTile; ++local) square[local] = 0;
    if (column < of.columns) {
      const int64_t size = static_cast<int64_t>(of.d) * of.columns;
      const bool has_v = layer.v != nullptr;
      for (int row = thread / kColumns; row < of.d; row += kRowLanes) {
        const T* u = layer.u + static_cast<int64_t>(row) * of.columns + column;
        const T* v = has_v ? layer.v + static_cast<int64_t>(column) * of.d + row : nullptr;
        T from_u[2 * kTile], from_v[2 * kTile];  // all asked for before the first is needed
        CDSP_UNROLL
        for (int local = 0; local < 2 * kTile; ++local) {
          const int64_t offset = expert_at(tiles, local) * size;
          from_u[local] = u[offset];
          from_v[local] = has_v ? v[offset] : T(0);
        }
        CDSP_UNROLL
        for (int local = 0; local < 2 * kTile; ++local) {
          square[local] += from_u[local] * from_u[local] + from_v[local] * from_v[local];
        }
        CDSP_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) {
          const int i = pair / kTile, j = kTile + pair % kTile;
          dot[pair] += from_u[i] * from_u[j] + from_v[i] * from_v[j];
        }
      }
    }
    CDSP_UNROLL
    for (int pair = 0; pair < kPairs; ++pair) shared.lanes[pair][thread] = dot[pair];
    CDSP_UNROLL
    for (int local = 0; local < 2 * kTile; ++local) {
      shared.lanes[kPairs + local][thread] = square[local];
    }
  }

  CDSP_HOST_DEVICE void sum_lanes(int thread, Shared& shared) const {
    for (int at = thread; at < kColumnSums * kColumns; at += kThreads) {
      const int which = at / kColumns, column = at % kColumns;
      T sums[4] = {0, 0, 0, 0};  // side by side, which do not wait for one another
      CDSP_UNROLL
      for (int lane = 0; lane < kRowLanes; ++lane) {
        sums[lane % 4] += shared.lanes[which][lane * kColumns + column];
      }
      shared.sums[which][column] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
  }

  CDSP_HOST_DEVICE T part(int thread, const Shared& shared) const {
    const int which = thread / kPairs, pair = thread % kPairs;
    const int i = pair / kTile, j = kTile + pair % kTile;
    T sum = 0;
    CDSP_UNROLL
    for (int column = 0; column < kColumns; ++column) {
      const T mask_i = shared.mask[i][column], mask_j = shared.mask[j][column];
      if (which == 0) sum += shared.sums[pair][column];
      if (which == 1) sum += shared.sums[kPairs + i][column] * mask_j;
      if (which == 2) sum += shared.sums[kPairs + j][column] * mask_i;
      if (which == 3) sum += mask_i * mask_j;
    }
    return sum;
  }
};

/// From the parts of LaggedSignalParts. A block: a layer and a pair of tiles.
template <typename T>
struct LaggedSignal {
  static constexpr int kPairs = lagged_signal_block::kPairs;
  static constexpr int kSumsOfPairs = lagged_signal_block::kSumsOfPairs;
  static constexpr int kThreads = 512;
  static constexpr int kLanes = kThreads / kSumsOfPairs;  // threads that share a sum
  static constexpr int kPartsAtOnce = 4;
  struct Shared {
    T lanes[kLanes][kSumsOfPairs];
  };
  struct Registers {
    bool i_is_active, j_is_active;  // of the thread's pair
  };

  LaggedSignalLayers<T> of;
  const T* parts;
  // Of no other width, so that the struct has no unused bytes: GCC 12 does not clear them behind an
  // array of structs, and they would look like an address to who checks the program's bytes.
  double epsilon;

  int64_t blocks() const { return static_cast<int64_t>(of.layers) * of.tile_pairs(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers& own) const {
    const int which = static_cast<int>(block);
    const LaggedSignalLayer<T>& layer = of.layer[which / of.tile_pairs()];
    const LaggedSignalTiles tiles = LaggedSignalTiles::of(which % of.tile_pairs(), of.tiles());
    const int i = tiles.first_i + thread % kPairs / lagged_signal_block::kTile;
    const int j = tiles.first_j + thread % lagged_signal_block::kTile;
    // The pair (j, i) of one tile is written with (i, j).
    const bool is_pair = thread < kPairs && i <= j && j < of.experts;
    if (phase == 0) {
      own.i_is_active = is_pair ? layer.active[i] : false;
      own.j_is_active = is_pair ? layer.active[j] : false;
      sum_pieces(block, thread, shared);
    } else if (is_pair) {
      const T value = i != j && own.i_is_active && own.j_is_active ? signal(thread, shared) : T(0);
      layer.lagged[i * of.experts + j] = value;
      layer.lagged[j * of.experts + i] = value;
    }
  }

  CDSP_HOST_DEVICE void sum_pieces(int64_t block, int thread, Shared& shared) const {
    const int which = thread % kSumsOfPairs, lane = thread / kSumsOfPairs, pieces = of.pieces();
    const T* from = parts + block * pieces * kSumsOfPairs + which;
    T sums[kPartsAtOnce];
    CDSP_UNROLL
    for (int n = 0; n < kPartsAtOnce; ++n) sums[n] = 0;
    for (int first = lane; first < pieces; first += kLanes * kPartsAtOnce) {
      CDSP_UNROLL
      for (int n = 0; n < kPartsAtOnce; ++n) {
        const int piece = first + n * kLanes;
        sums[n] += piece < pieces ? from[static_cast<int64_t>(piece) * kSumsOfPairs] : T(0);
      }
    }
    shared.lanes[lane][which] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  CDSP_HOST_DEVICE T signal(int pair, const Shared& shared) const {
    T sums[lagged_signal_block::kSums];
    CDSP_UNROLL
    for (int which = 0; which < lagged_signal_block::kSums; ++which) {
      sums[which] = 0;
      CDSP_UNROLL
      for (int lane = 0; lane < kLanes; ++lane) {
        sums[which] += shared.lanes[lane][which * kPairs + pair];
      }
    }
    const T added = static_cast<T>(epsilon);
    const T cosine = sums[0] / ((std::sqrt(sums[1]) + added) * (std::sqrt(sums[2]) + added));
    // Not a comparison with 0: a gradient that is not a number must stay one.
    return sums[3] > T(0) && !(cosine >= T(0)) ? -cosine : T(0);
  }
};

}  // namespace cdsp
