// The experts' own gradients of the CDSP layer (cdsp_layer.h) as block programs. Over the rows p of
// a grouping (expert_grouping.h), each a token t and its weight w for the expert i of its chunk:
//
//   g_i(U) = s_i M_i sum_p (w x_t) (P SiLU'(Z))_t^T      g_i(V) = s_i M_i sum_p SiLU(Z)_t (w E_t)^T
//
// Both are an outer sum of d numbers of a token (wide: w x or w E) and of hidden units of it
// (narrow). A block makes a tile of one of them over the rows of one chunk; tiles in which the
// expert has selected no column are not made, so the work is that of the selected columns. A second
// program adds up the chunks of an expert.
#pragma once

#include "kernels/block_grid.h"
#include "kernels/cdsp_layer_blocks.h"

namespace cdsp {

/// Which chunks of a grouping are whose.
template <typename T>
struct ChunkOwners {
  const T* count;  // [experts]
  int64_t chunk, chunks;
  int experts;

  CDSP_HOST_DEVICE int64_t chunks_of(int64_t expert) const {
    return (static_cast<int64_t>(count[expert]) + chunk - 1) / chunk;
  }
  /// The expert of a chunk, or `experts` for one that nobody needs.
  CDSP_HOST_DEVICE int owner_of(int64_t chunk_number) const {
    int64_t end = 0;
    for (int expert = 0; expert < experts; ++expert) {
      end += chunks_of(expert);
      if (chunk_number < end) return expert;
    }
    return experts;
  }
};

/// The two tables of outer sums have the same layout: parts [chunks, 2, d * columns], of which
/// first U's [d, columns], then V's [columns, d].
template <typename T>
struct ExpertOuterSums {
  static constexpr int kThreads = 128;
  static constexpr int kWide = 64, kNarrow = 32;  // numbers of a tile
  static constexpr int kRows = 32;                // rows read between two barriers
  static constexpr int kMostRows = 128;           // of a chunk
  static constexpr int kSide = 4;                 // a thread makes 4 x 4 sums
  static_assert(kThreads * kSide * kSide == kWide * kNarrow, "a thread's share");
  struct alignas(16) Shared {
    T wide[kRows][kWide], narrow[kRows][kNarrow];
    T weight[kMostRows];
    int token[kMostRows];
    int is_selected[kThreads];
  };
  struct Registers {
    T sum[kSide][kSide];
    int owner;
    bool is_needed;
  };

  ChunkOwners<T> owners;
  const int64_t* token;                  // [chunks * chunk]
  const T* weight;                       // the same
  const T *x, *upstream, *z, *d_hidden;  // [tokens, d] twice, [tokens, columns] twice
  const T* mask;                         // [experts, columns]
  T* parts;
  int d, columns;

  CDSP_HOST_DEVICE int wide_tiles() const { return (d + kWide - 1) / kWide; }
  CDSP_HOST_DEVICE int narrow_tiles() const { return (columns + kNarrow - 1) / kNarrow; }
  int64_t blocks() const { return owners.chunks * 2 * wide_tiles() * narrow_tiles(); }
  CDSP_HOST_DEVICE int stages() const {
    return static_cast<int>((owners.chunk + kRows - 1) / kRows);
  }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2 + 2 * stages(); }
  CDSP_HOST_DEVICE void run(int phase, int64_t block_number, int thread, Shared& shared,
                            Registers& own) const {
    const int block = static_cast<int>(block_number);  // a grid's limit; a quicker division
    const int first_column = block % narrow_tiles() * kNarrow;
    const int first_wide = block / narrow_tiles() % wide_tiles() * kWide;
    const bool is_of_v = block / narrow_tiles() / wide_tiles() % 2 == 1;
    const int64_t chunk = block / narrow_tiles() / wide_tiles() / 2;
    if (phase == 0) return begin(chunk, first_column, thread, shared, own);
    if (phase == 1) {
      own.is_needed = false;
      for (int i = 0; i < kNarrow; ++i) own.is_needed |= shared.is_selected[i] != 0;
    }
    if (!own.is_needed) return;
    if (phase % 2 == 1) {
      load((phase - 1) / 2 * kRows, first_wide, first_column, is_of_v, thread, shared);
      if (phase == phases(block_number) - 1)
        store(chunk, first_wide, first_column, is_of_v, thread, own);
    } else {
      add_up(thread, shared, own);
    }
  }

  CDSP_HOST_DEVICE void begin(int64_t chunk, int first_column, int thread, Shared& shared,
                              Registers& own) const {
    const int owner = owners.owner_of(chunk);
    if (thread < kNarrow) {
      const int column = first_column + thread;
      const bool is_there = owner < owners.experts && column < columns;
      shared.is_selected[thread] =
          is_there && mask[static_cast<int64_t>(owner) * columns + column] != T(0) ? 1 : 0;
    }
    for (int row = thread; row < owners.chunk; row += kThreads) {
      shared.token[row] = static_cast<int>(token[chunk * owners.chunk + row]);
      shared.weight[row] = weight[chunk * owners.chunk + row];
    }
    CDSP_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kSide; ++j) own.sum[i][j] = 0;
    }
  }

  /// Rows first, first + 1, ... of the chunk; zeros beyond its end, and beyond d and the columns.
  CDSP_HOST_DEVICE void load(int first, int first_wide, int first_column, bool is_of_v, int thread,
                             Shared& shared) const {
    if (first >= owners.chunk) return;
    const T* from = is_of_v ? upstream : x;
    CDSP_UNROLL_BY_4
    for (int i = 0; i < kRows * kWide / kThreads; ++i) {
      const int row = (i * kThreads + thread) / kWide, c = (i * kThreads + thread) % kWide;
      const bool is_there = first + row < owners.chunk && first_wide + c < d;
      shared.wide[row][c] =
          is_there ? shared.weight[first + row] *
                         from[static_cast<int64_t>(shared.token[first + row]) * d + first_wide + c]
                   : T(0);
    }
    CDSP_UNROLL_BY_4
    for (int i = 0; i < kRows * kNarrow / kThreads; ++i) {
      const int row = (i * kThreads + thread) / kNarrow, c = (i * kThreads + thread) % kNarrow;
      const bool is_there = first + row < owners.chunk && first_column + c < columns;
      T value = 0;
      if (is_there) {
        const int64_t at =
            static_cast<int64_t>(shared.token[first + row]) * columns + first_column + c;
        value = is_of_v ? z[at] * sigmoid_of(z[at]) : d_hidden[at] * silu_slope(z[at]);
      }
      shared.narrow[row][c] = value;
    }
  }

  /// Places of a thread's sums in the tile: kSide neighbours each way.
  CDSP_HOST_DEVICE static int wide_of(int thread) { return thread / (kNarrow / kSide) * kSide; }
  CDSP_HOST_DEVICE static int narrow_of(int thread) { return thread % (kNarrow / kSide) * kSide; }

  CDSP_HOST_DEVICE void add_up(int thread, const Shared& shared, Registers& own) const {
    const int wide = wide_of(thread), narrow = narrow_of(thread);
    CDSP_UNROLL_BY_4  // all of them would take the registers that other warps need
        for (int row = 0; row < kRows; ++row) {
      T a[kSide], b[kSide];
      CDSP_UNROLL
      for (int i = 0; i < kSide; ++i) {
        a[i] = shared.wide[row][wide + i];
        b[i] = shared.narrow[row][narrow + i];
      }
      CDSP_UNROLL
      for (int i = 0; i < kSide; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < kSide; ++j) own.sum[i][j] += a[i] * b[j];
      }
    }
  }

  CDSP_HOST_DEVICE void store(int64_t chunk, int first_wide, int first_column, bool is_of_v,
                              int thread, const Registers& own) const {
    T* to = parts + (2 * chunk + (is_of_v ? 1 : 0)) * d * columns;
    CDSP_UNROLL
    for (int i = 0; i < kSide; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kSide; ++j) {
        const int64_t c = first_wide + wide_of(thread) + i,
                      column = first_column + narrow_of(thread) + j;
        if (c < d && column < columns)
          to[is_of_v ? column * d + c : c * columns + column] = own.sum[i][j];
      }
    }
  }
};

/// parts -> u [experts, d, columns] and v [experts, columns, d], and their sums over the experts,
/// d_u and d_v.
template <typename T>
struct FinishExpertGradients {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  ChunkOwners<T> owners;
  const T *parts, *gate, *mask;
  T *u, *v, *d_u, *d_v;
  int d, columns;

  CDSP_HOST_DEVICE int64_t size() const { return static_cast<int64_t>(d) * columns; }
  int64_t blocks() const { return 2 * ((size() + kThreads - 1) / kThreads); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const bool is_of_v = block % 2 == 1;
    const int64_t at = block / 2 * kThreads + thread;
    if (at >= size()) return;
    const int64_t column = is_of_v ? at / d : at % columns;
    T total = 0;
    int64_t chunk = 0;
    for (int expert = 0; expert < owners.experts; ++expert) {
      const int64_t end = chunk + owners.chunks_of(expert);
      T sum = 0;
      if (mask[static_cast<int64_t>(expert) * columns + column] != T(0)) {
        for (; chunk < end; ++chunk) sum += parts[(2 * chunk + (is_of_v ? 1 : 0)) * size() + at];
        sum *= gate[expert] * mask[static_cast<int64_t>(expert) * columns + column];
      }
      chunk = end;
      (is_of_v ? v : u)[expert * size() + at] = sum;
      total += sum;
    }
    (is_of_v ? d_v : d_u)[at] = total;
  }
};

}  // namespace cdsp
