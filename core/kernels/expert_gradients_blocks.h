// The experts' own gradients as block programs, of the CDSP layer (cdsp_layer.h) and of standard
// experts (standard_experts.h). Over the rows p of a grouping (ExpertRows in expert_grouping.h),
// each a token t and its weight w for the expert i of its chunk:
//
//   g_i(U) = s_i M_i sum_p (w x_t) (P SiLU'(Z))_t^T      g_i(V) = s_i M_i sum_p SiLU(Z)_t (w E_t)^T
//   dW1_i  = sum_p (P SiLU'(Z))_t (w x_t)^T              dW2_i  = sum_p (w E_t) SiLU(Z)_t^T
//
// where standard experts have columns of their own. All four are outer sums of d numbers of a token
// (wide: w x or w E) and of hidden units of it (narrow). A block makes a tile of one of them over
// the rows of one chunk; tiles in which the expert has no column are not made, so the work is that
// of the selected columns. A second program adds up the chunks of an expert.
#pragma once

#include "kernels/block_grid.h"
#include "kernels/cdsp_layer_blocks.h"
#include "kernels/pieces.h"

namespace cdsp {

/// The rows as the programs take them, and the columns of a layer.
template <typename T>
struct ExpertSums {
  const int *owner, *first_chunk;  // [chunks], [experts + 1]
  const T* mask;                   // [experts, columns]; null: each expert its own columns
  int chunk, chunks, experts, d, columns;
  int narrow;  // columns that an expert may have: all, or its own

  CDSP_HOST_DEVICE int first_column(int expert) const {
    return mask != nullptr ? 0 : expert * narrow;
  }
  CDSP_HOST_DEVICE bool selects(int expert, int column) const {
    return column < narrow &&
           (mask == nullptr || mask[static_cast<int64_t>(expert) * columns + column] != T(0));
  }
  /// Numbers of one of the two outer sums.
  CDSP_HOST_DEVICE int size() const { return d * narrow; }
  /// Whether the second outer sum, or else the first one, has its d numbers side by side: so that
  /// U [d, D], V [D, d], W1 [width, d] and W2 [d, width] come as they are.
  CDSP_HOST_DEVICE bool wide_is_inner(bool is_second) const {
    return is_second == (mask != nullptr);
  }
};

/// -> parts [chunks, 2, size()]; not made where an expert selects none of a tile's columns.
///
/// Each of the block's warps makes the whole tile from a share of the rows, a thread 8 x 8 sums of
/// it: what it reads from shared memory, which is the slowest part, serves eight times. In the end
/// the warps' sums are added up.
template <typename T>
struct ExpertOuterSums {
  static constexpr int kThreads = 128;
  /// More would leave too few registers for the sums.
  static constexpr int kBlocksTogether = sizeof(T) == sizeof(float) ? 4 : 0;
  static constexpr int kLanes = 32, kShares = kThreads / kLanes;
  static constexpr int kWide = 64, kNarrow = 32;  // numbers of a tile
  static constexpr int kRows = 32;                // rows read between two barriers
  static constexpr int kMostRows = 128;           // of a chunk
  static constexpr int kSide = 8;                 // of a thread's sums
  static constexpr int kNarrowLanes = kNarrow / kSide;
  static_assert(kLanes * kSide * kSide == kWide * kNarrow, "a thread's share");
  /// Sums are added up in two rounds: one half of each thread's at a time.
  static constexpr int kHalf = kWide * kNarrow / 2;
  struct Tables {
    T wide[kRows][kWide], narrow[kRows][kNarrow];
  };
  struct alignas(16) Shared {
    union {
      Tables rows;
      T shares[kShares][kHalf];
    };
    T weight[kMostRows];
    int token[kMostRows];
    int is_selected[kNarrow];
  };
  struct Registers {
    T sum[kSide][kSide];
    // The block's place in the grid: divided out once, not in every phase.
    int chunk, first_wide, first_column, owner;
    bool is_second, is_needed;
  };

  ExpertSums<T> sums;
  const int* token;                      // [chunks * chunk]
  const T* weight;                       // the same
  const T *x, *upstream, *z, *d_hidden;  // [tokens, d] twice, [tokens, columns] twice
  T* parts;
  bool by_quads;  // whether all four lie on borders of 16 bytes, and d and the columns are fours

  CDSP_HOST_DEVICE int wide_tiles() const { return (sums.d + kWide - 1) / kWide; }
  CDSP_HOST_DEVICE int narrow_tiles() const { return (sums.narrow + kNarrow - 1) / kNarrow; }
  int64_t blocks() const {
    return static_cast<int64_t>(sums.chunks) * 2 * wide_tiles() * narrow_tiles();
  }
  CDSP_HOST_DEVICE int stages() const { return (sums.chunk + kRows - 1) / kRows; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1 + 2 * stages() + 4; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block_number, int thread, Shared& shared,
                            Registers& own) const {
    if (phase == 0) return begin(static_cast<int>(block_number), thread, shared, own);
    if (phase == 1) {
      int selected = 0;
      for (int i = 0; i < kNarrow; ++i) selected |= shared.is_selected[i];
      own.is_needed = selected != 0;
    }
    if (!own.is_needed) return;
    const int after = phase - 1 - 2 * stages();
    if (after < 0) {
      const int first = (phase - 1) / 2 * kRows;
      if (phase % 2 == 1) {
        if (by_quads) {
          load<true>(first, thread, shared, own);
        } else {
          load<false>(first, thread, shared, own);
        }
      } else {
        add_up(thread, shared, own);
      }
    } else if (after == 0) {
      share_half<0>(thread, shared, own);
    } else if (after == 1) {
      store_half<0>(thread, shared, own);
    } else if (after == 2) {
      share_half<1>(thread, shared, own);
    } else {
      store_half<1>(thread, shared, own);
    }
  }

  CDSP_HOST_DEVICE void begin(int block, int thread, Shared& shared, Registers& own) const {
    const int above = block / narrow_tiles();
    own.first_column = (block - above * narrow_tiles()) * kNarrow;
    own.chunk = above / wide_tiles() / 2;
    own.is_second = above / wide_tiles() % 2 == 1;
    own.first_wide = above % wide_tiles() * kWide;
    own.owner = sums.owner[own.chunk];
    if (thread < kNarrow) {
      shared.is_selected[thread] =
          own.owner < sums.experts && sums.selects(own.owner, own.first_column + thread) ? 1 : 0;
    }
    for (int row = thread; row < sums.chunk; row += kThreads) {
      shared.token[row] = token[own.chunk * sums.chunk + row];
      shared.weight[row] = weight[own.chunk * sums.chunk + row];
    }
    CDSP_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kSide; ++j) own.sum[i][j] = 0;
    }
  }

  /// Four numbers of a row of `length` from `column` on; which are not there are others of the row:
  /// a load behind a branch would have every thread wait for it before the next one.
  template <bool kByQuads>
  CDSP_HOST_DEVICE static Quad<T> four_of(const T* row, int column, int length) {
    if constexpr (kByQuads) {
      const int last = length - 4;
      return read_piece<Quad<T>>(row + (column < last ? column : last));
    } else {
      Quad<T> four;
      CDSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        four.x[i] = row[column + i < length ? column + i : length - 1];
      }
      return four;
    }
  }

  /// Rows first, first + 1, ... of the chunk; zeros beyond its end, and beyond d and the columns.
  template <bool kByQuads>
  CDSP_HOST_DEVICE void load(int first, int thread, Shared& shared, const Registers& own) const {
    constexpr int kWideQuads = kWide / 4, kNarrowQuads = kNarrow / 4;
    constexpr int kWideTurns = kRows * kWideQuads / kThreads;
    constexpr int kNarrowTurns = kRows * kNarrowQuads / kThreads;
    const int last_row = sums.chunk - 1;
    const int first_wide = own.first_wide, first_column = own.first_column;
    const bool is_second = own.is_second;
    const T* from = is_second ? upstream : x;
    const int first_of_expert = sums.first_column(own.owner);
    // All loads before the first use.
    Quad<T> wide[kWideTurns], narrow[kNarrowTurns], up[kNarrowTurns];
    CDSP_UNROLL
    for (int i = 0; i < kWideTurns; ++i) {
      const int row = first + (i * kThreads + thread) / kWideQuads;
      const int c = first_wide + (i * kThreads + thread) % kWideQuads * 4;
      const int64_t of_token = shared.token[row < last_row ? row : last_row];
      wide[i] = four_of<kByQuads>(from + of_token * sums.d, c, sums.d);
    }
    CDSP_UNROLL
    for (int i = 0; i < kNarrowTurns; ++i) {
      const int row = first + (i * kThreads + thread) / kNarrowQuads;
      const int c = first_column + (i * kThreads + thread) % kNarrowQuads * 4;
      const int64_t of_token = shared.token[row < last_row ? row : last_row];
      const int64_t at = of_token * sums.columns + first_of_expert;
      narrow[i] = four_of<kByQuads>(z + at, c, sums.narrow);
      // Only the first sum has a use for them; a branch would cost more.
      up[i] = four_of<kByQuads>(d_hidden + at, c, sums.narrow);
    }
    CDSP_UNROLL
    for (int i = 0; i < kWideTurns; ++i) {
      const int row = (i * kThreads + thread) / kWideQuads;
      const int c = (i * kThreads + thread) % kWideQuads * 4;
      const T factor = shared.weight[first + row < last_row ? first + row : last_row];
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) {
        const bool is_there = first + row <= last_row && first_wide + c + j < sums.d;
        wide[i].x[j] = is_there ? factor * wide[i].x[j] : T(0);
      }
      write_piece(wide[i], &shared.rows.wide[row][c]);
    }
    CDSP_UNROLL
    for (int i = 0; i < kNarrowTurns; ++i) {
      const int row = (i * kThreads + thread) / kNarrowQuads;
      const int c = (i * kThreads + thread) % kNarrowQuads * 4;
      CDSP_UNROLL
      for (int j = 0; j < 4; ++j) {
        const T value = narrow[i].x[j], s = sigmoid_of(value);
        const T made = is_second ? value * s : up[i].x[j] * s * (T(1) + value * (T(1) - s));
        const bool is_there = first + row <= last_row && first_column + c + j < sums.narrow;
        narrow[i].x[j] = is_there ? made : T(0);
      }
      write_piece(narrow[i], &shared.rows.narrow[row][c]);
    }
  }

  /// The first of a thread's kSide neighbours each way.
  CDSP_HOST_DEVICE static int wide_of(int thread) { return thread % kLanes / kNarrowLanes * kSide; }
  CDSP_HOST_DEVICE static int narrow_of(int thread) {
    return thread % kLanes % kNarrowLanes * kSide;
  }

  CDSP_HOST_DEVICE void add_up(int thread, const Shared& shared, Registers& own) const {
    const int wide = wide_of(thread), narrow = narrow_of(thread);
    for (int row = thread / kLanes; row < kRows; row += kShares) {
      Quad<T> a[kSide / 4], b[kSide / 4];
      CDSP_UNROLL
      for (int i = 0; i < kSide / 4; ++i) {
        a[i] = read_piece<Quad<T>>(&shared.rows.wide[row][wide + 4 * i]);
        b[i] = read_piece<Quad<T>>(&shared.rows.narrow[row][narrow + 4 * i]);
      }
      CDSP_UNROLL
      for (int i = 0; i < kSide; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < kSide; ++j) {
          own.sum[i][j] += a[i / 4].x[i % 4] * b[j / 4].x[j % 4];
        }
      }
    }
  }

  /// Half of each thread's sums, those of four wide numbers, to where all can add them up: a lane's
  /// neighbour in memory is the next lane's.
  template <int kWhich>
  CDSP_HOST_DEVICE void share_half(int thread, Shared& shared, const Registers& own) const {
    CDSP_UNROLL
    for (int i = 0; i < kSide / 2; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kSide; ++j) {
        shared.shares[thread / kLanes][(i * kSide + j) * kLanes + thread % kLanes] =
            own.sum[kWhich * kSide / 2 + i][j];
      }
    }
  }

  template <int kWhich>
  CDSP_HOST_DEVICE void store_half(int thread, const Shared& shared, const Registers& own) const {
    T* to = parts + (2 * static_cast<int64_t>(own.chunk) + (own.is_second ? 1 : 0)) * sums.size();
    const bool wide_is_inner = sums.wide_is_inner(own.is_second);
    for (int at = thread; at < kHalf; at += kThreads) {
      // Neighbouring threads write neighbours: places of the half tile, wide or narrow inside.
      const int in = wide_is_inner ? at % (kWide / 2) : at / kNarrow;
      const int narrow = wide_is_inner ? at / (kWide / 2) : at % kNarrow;
      const int i = in % (kSide / 2), wide = in / (kSide / 2) * kSide + kWhich * kSide / 2 + i;
      const int lane = in / (kSide / 2) * kNarrowLanes + narrow / kSide;
      const int from = (i * kSide + narrow % kSide) * kLanes + lane;
      T sum = 0;
      CDSP_UNROLL
      for (int share = 0; share < kShares; ++share) sum += shared.shares[share][from];
      const int c = own.first_wide + wide, column = own.first_column + narrow;
      if (c < sums.d && column < sums.narrow)
        to[wide_is_inner ? column * sums.d + c : c * sums.narrow + column] = sum;
    }
  }
};

/// parts -> first and second [experts, size()], times s_i where gates are given. Where they are not
/// null, the sums over the experts, too: first_total and second_total [size()]. A block has
/// kElements neighbours of one of the two, and shares the experts out to lanes.
template <typename T>
struct FinishExpertSums {
  static constexpr int kThreads = 256;
  static constexpr int kElements = 32, kLanes = kThreads / kElements;
  struct Shared {
    T totals[kLanes][kElements];
  };
  using Registers = Nothing;

  ExpertSums<T> sums;
  const T *parts, *gate;  // gate [experts] may be null
  T *first, *second, *first_total, *second_total;

  int64_t blocks() const { return 2 * ((sums.size() + kElements - 1) / kElements); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return first_total != nullptr ? 2 : 1; }
  CDSP_HOST_DEVICE void run(int phase, int64_t block_number, int thread, Shared& shared,
                            Registers&) const {
    const int block = static_cast<int>(block_number), element = thread % kElements;
    const bool is_second = block % 2 == 1;
    const int at = block / 2 * kElements + element;
    if (at >= sums.size()) return;
    if (phase == 1) {
      if (thread >= kElements) return;
      T total = 0;
      for (int lane = 0; lane < kLanes; ++lane) total += shared.totals[lane][element];
      (is_second ? second_total : first_total)[at] = total;
      return;
    }
    const int column = sums.wide_is_inner(is_second) ? at / sums.d : at % sums.narrow;
    T total = 0;
    for (int expert = thread / kElements; expert < sums.experts; expert += kLanes) {
      const T sum = sum_of(expert, column, is_second, at);
      (is_second ? second : first)[static_cast<int64_t>(expert) * sums.size() + at] = sum;
      total += sum;
    }
    shared.totals[thread / kElements][element] = total;
  }

  CDSP_HOST_DEVICE T sum_of(int expert, int column, bool is_second, int at) const {
    const int begin = sums.first_chunk[expert], all = sums.first_chunk[expert + 1];
    const T factor = gate != nullptr ? gate[expert] : T(1);
    // Parts of columns that are not the expert's have not been written.
    const int end = sums.selects(expert, column) ? all : begin;
    const int64_t step = 2 * static_cast<int64_t>(sums.size());
    const T* part = parts + begin * step + (is_second ? sums.size() : 0) + at;
    // Four sums, so that no addition waits for the one before.
    T a = 0, b = 0, c = 0, e = 0;
    int chunk = begin;
    for (; chunk + 3 < end; chunk += 4, part += 4 * step) {
      a += part[0];
      b += part[step];
      c += part[2 * step];
      e += part[3 * step];
    }
    for (; chunk < end; ++chunk, part += step) a += part[0];
    return ((a + b) + (c + e)) * factor;
  }
};

}  // namespace cdsp
