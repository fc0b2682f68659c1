// What the programs of gated_experts_blocks.h have in common: two matrix products, one behind the
// other, for a few tokens, with what lies between them in registers and shared memory only.
//
//   first    S = L A      L [tokens, d], A [d, columns]
//   second   O = R + G B  G made of S number by number, B [columns, d], R [tokens, d] or none
//
// A block takes kTokens tokens and the columns in stretches of kColumns. Each of its warps makes
// kWidth columns of S for all of the block's tokens; a thread those of kOwn tokens in two quads of
// columns, so that a number read from shared memory serves several multiplications. G of a warp's
// columns then meets the rows of B that belong to them: each warp has as many sums as before, over
// its own columns, and they are added up over the warps at the end.
//
// A and B come through shared memory, kDepth rows at a time: while the block multiplies by one
// stage, its threads fetch the next one into registers and put it beside. The piece of G that
// belongs to a stage, kPiece columns a warp, is put beside the last one in the same phase.
#pragma once

#include <cstdint>

#include "kernels/block_grid.h"
#include "kernels/cdsp_layer_blocks.h"
#include "kernels/pieces.h"

namespace cdsp {
namespace gated_experts {

inline constexpr int kWarp = 32;
inline constexpr int kWidth = 64;     // d at most
inline constexpr int kMostSlots = 4;  // experts of a token at most
inline constexpr int kDepth = 16;     // rows of a matrix between two barriers
inline constexpr int kPiece = 16;     // columns of a warp that are in shared memory at once
inline constexpr int kQuad = 4;
inline constexpr int kTokenLanes = 4, kColumnLanes = 8;  // of a warp
inline constexpr int kHalf = kColumnLanes * kQuad;       // of kWidth: a quad of every lane
static_assert(kTokenLanes * kColumnLanes == kWarp && 2 * kHalf == kWidth, "two quads a thread");
static_assert(kWidth % kPiece == 0 && kPiece == kDepth, "a piece is a stage");

/// The number itself, from which a GPU's compiler computes nothing ahead of here: places that are
/// the same in all phases would else wait in registers through the phases that need them.
CDSP_HOST_DEVICE unsigned not_ahead(unsigned number) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(number));
#endif
  return number;
}

using cdsp::Quad;
static_assert(sizeof(Quad<float>) == kQuad * sizeof(float), "four numbers");

/// The first `left` numbers from there, then zeros. kWide: they are aligned to 16 bytes, and `left`
/// is no number between 0 and 4.
template <bool kWide, typename T>
CDSP_HOST_DEVICE Quad<T> load_quad(const T* from, int left) {
  Quad<T> quad;
  if constexpr (kWide) {
    CDSP_UNROLL
    for (int i = 0; i < kQuad; ++i) quad.x[i] = 0;
    if (left > 0) quad = read_piece<Quad<T>>(from);
  } else {
    CDSP_UNROLL
    for (int i = 0; i < kQuad; ++i) quad.x[i] = i < left ? from[i] : T(0);
  }
  return quad;
}

template <bool kWide, typename T>
CDSP_HOST_DEVICE void store_quad(const Quad<T>& quad, T* to, int left) {
  if constexpr (kWide) {
    if (left <= 0) return;
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float)) {
      // One store, said outright: nvcc takes a struct apart and may not put it together again.
      asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
                   "f"(quad.x[0]), "f"(quad.x[1]), "f"(quad.x[2]), "f"(quad.x[3])
                   : "memory");
      return;
    }
#endif
    write_piece(quad, to);
  } else {
    CDSP_UNROLL
    for (int i = 0; i < kQuad; ++i) {
      if (i < left) to[i] = quad.x[i];
    }
  }
}

/// In shared memory, where every quad is aligned.
template <typename T>
CDSP_HOST_DEVICE Quad<T> quad_at(const T* from) {
  return read_piece<Quad<T>>(from);
}
template <typename T>
CDSP_HOST_DEVICE void put_quad(const Quad<T>& quad, T* to) {
  write_piece(quad, to);
}

template <typename T>
struct TileSizes {
  static constexpr bool kIsSingle = sizeof(T) == 4;
  static constexpr int kWarps = kIsSingle ? 4 : 2;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kOwn = kIsSingle ? 6 : 3;  // tokens of a thread
  static constexpr int kTokens = kTokenLanes * kOwn;
  static constexpr int kColumns = kWarps * kWidth;
  /// 16 bytes more than the numbers: the four tokens that a warp reads at once then differ in
  /// banks.
  static constexpr int kRow = kWidth + 16 / static_cast<int>(sizeof(T));
};

/// How the first or the second matrix lies in a stage: kDepth rows of kAcross columns, once for
/// every part of the sums (the second product: for every warp).
template <typename T, bool kIsSecond, bool kUpright>
struct StageLayout {
  static constexpr int kParts = kIsSecond ? TileSizes<T>::kWarps : 1;
  static constexpr int kAcross = kIsSecond ? kWidth : TileSizes<T>::kColumns;
  static constexpr int kNumbers = kParts * kDepth * kAcross;
  static constexpr int kCarried = kNumbers / kQuad / TileSizes<T>::kThreads;  // quads of a thread

  int part, row, column;

  /// Of the quad that a thread carries as its first, along a row of the stage or, `upright`, down a
  /// column. In either case the threads of a warp have neighbouring numbers of the matrix in hand.
  CDSP_HOST_DEVICE static StageLayout of(unsigned quad) {
    if constexpr (kUpright) {
      constexpr unsigned down = kDepth / kQuad;
      return {static_cast<int>(quad / down / kAcross), static_cast<int>(quad % down * kQuad),
              static_cast<int>(quad / down % kAcross)};
    } else {
      constexpr unsigned beside = kAcross / kQuad;
      return {static_cast<int>(quad / beside / kDepth), static_cast<int>(quad / beside % kDepth),
              static_cast<int>(quad % beside * kQuad)};
    }
  }
  /// By how much the thread's quad number `carried` lies further on, the same for all threads.
  CDSP_HOST_DEVICE static StageLayout beyond_first(int carried) {
    constexpr int line = kUpright ? kDepth / kQuad : kAcross / kQuad;  // quads without a step
    static_assert(
        TileSizes<T>::kThreads % line == 0 && TileSizes<T>::kThreads <= kDepth * kAcross / kQuad,
        "threads carry whole lines, of one part");
    return of(static_cast<unsigned>(carried * TileSizes<T>::kThreads));
  }

  /// Upright quads are put as four numbers each, by threads side by side in rows 4 apart: there
  /// the columns change places, so that these threads differ in banks. Quads stay whole.
  CDSP_HOST_DEVICE static int place_of(int column, int row) {
    constexpr int kBeside = 32 / static_cast<int>(sizeof(T));  // columns put at once
    return kUpright ? column ^ (row / kQuad * kBeside) : column;
  }
  CDSP_HOST_DEVICE int at() const {
    return (part * kDepth + row) * kAcross + place_of(column, row);
  }
};

/// A block's tokens and their experts, slot by slot. Tokens beyond the last: expert 0 by 0.
template <typename T>
struct SlotTables {
  template <typename Number>
  using Table = Number[kMostSlots][TileSizes<T>::kTokens];
  Table<int> expert;
  Table<T> weight, gate, factor;  // w, s and w s
};

template <typename T>
struct TileMemory {
  using Sizes = TileSizes<T>;
  static constexpr int kNumbers = kDepth * Sizes::kColumns;  // of a stage, of either matrix
  /// Quads of its 2 * kOwn that a thread adds up over the warps.
  static constexpr int kShare = 2 * Sizes::kOwn / Sizes::kWarps;
  static_assert(kShare * Sizes::kWarps == 2 * Sizes::kOwn, "a thread's share");

  struct Stages {
    T rows[2][Sizes::kTokens][Sizes::kRow];  // two pieces of G; before, L in the second
    alignas(16) T stage[2][kNumbers];
  };
  union {
    Stages stages;
    /// For the warp that adds up, from each other warp.
    Quad<T> sums[Sizes::kWarps][Sizes::kWarps - 1][kShare][kWarp];
  };
};

/// Where a thread stands. Neighbours alternate in columns, those two apart in tokens: so the reads
/// of two threads each fall together, of L's rows and of A's.
template <typename T>
struct TilePlace {
  int warp, lane, token, column;  // its first token of the block, and column of its warp

  CDSP_HOST_DEVICE explicit TilePlace(unsigned thread)
      : warp(static_cast<int>(thread / kWarp)),
        lane(static_cast<int>(thread % kWarp)),
        token(static_cast<int>((thread >> 1 & 1) | (thread >> 3 & 2))),
        column(static_cast<int>(kQuad * ((thread & 1) | (thread >> 1 & 6)))) {}

  /// Its tokens are kTokenLanes apart, its quads half a width.
  CDSP_HOST_DEVICE int token_of(int own) const { return token + own * kTokenLanes; }
  CDSP_HOST_DEVICE int column_of(int half) const { return column + half * kHalf; }
  /// In the matrix of all columns.
  CDSP_HOST_DEVICE int column_of(int stretch, int half) const {
    return stretch * TileSizes<T>::kColumns + warp * kWidth + column_of(half);
  }
};

enum class Work { kLoad, kFirst, kGates, kBetween, kSecond, kHandOver, kFinish };

/// What a phase is for; `number` counts the phases of that work within a stretch.
struct Step {
  Work work;
  int number, stretch;
};

/// kUpright: A and B are given as [columns, d] and [d, columns], the other way round. kWide: d and
/// columns are multiples of 4, and all pointers are aligned to 16 bytes.
template <typename T, bool kUpright, bool kWide>
struct ExpertTiles {
  using Sizes = TileSizes<T>;
  using Memory = TileMemory<T>;
  using Place = TilePlace<T>;
  template <bool kIsSecond>
  using Layout = StageLayout<T, kIsSecond, kUpright>;
  static_assert(Layout<false>::kNumbers == Memory::kNumbers &&
                    Layout<true>::kNumbers == Memory::kNumbers,
                "either matrix fills a stage");
  static constexpr int kOwn = Sizes::kOwn;
  /// S or G, and O, of a thread's tokens and two quads of columns.
  struct Sums {
    T first[kOwn][2 * kQuad], second[kOwn][2 * kQuad];
  };

  GateTables<T> tables;
  const T *left, *first_matrix, *second_matrix;
  const T* residual;  // null: none
  T* out;
  int64_t tokens;
  int d;
  int between;  // phases between the gates and the second product

  int64_t blocks() const { return (tokens + Sizes::kTokens - 1) / Sizes::kTokens; }
  CDSP_HOST_DEVICE int stretches() const {
    return (tables.columns + Sizes::kColumns - 1) / Sizes::kColumns;
  }
  CDSP_HOST_DEVICE int first_stages() const { return (d + kDepth - 1) / kDepth; }
  CDSP_HOST_DEVICE int second_stages(int stretch) const {
    const int columns = tables.columns - stretch * Sizes::kColumns;
    return columns < kWidth ? (columns + kDepth - 1) / kDepth : kWidth / kDepth;
  }
  CDSP_HOST_DEVICE int before_second() const { return 2 + first_stages() + between; }
  CDSP_HOST_DEVICE int phases() const {
    return stretches() * before_second() + (stretches() - 1) * (kWidth / kDepth) +
           second_stages(stretches() - 1) + 2;
  }
  CDSP_HOST_DEVICE Step step_of(int phase) const {
    int stretch = 0, number = phase;
    const int whole = before_second() + kWidth / kDepth;
    for (; stretch + 1 < stretches() && number >= whole; ++stretch) number -= whole;
    if (number == 0) return {Work::kLoad, 0, stretch};
    if (--number < first_stages()) return {Work::kFirst, number, stretch};
    number -= first_stages();
    if (number == 0) return {Work::kGates, 0, stretch};
    if (--number < between) return {Work::kBetween, number, stretch};
    number -= between;
    if (number < second_stages(stretch)) return {Work::kSecond, number, stretch};
    return {number == second_stages(stretch) ? Work::kHandOver : Work::kFinish, 0, stretch};
  }

  CDSP_HOST_DEVICE int64_t first_token(int64_t block) const { return block * Sizes::kTokens; }
  /// Of the block.
  CDSP_HOST_DEVICE int tokens_of(int64_t block) const {
    const int64_t left = tokens - first_token(block);
    return left < Sizes::kTokens ? static_cast<int>(left) : Sizes::kTokens;
  }

  CDSP_HOST_DEVICE unsigned slots_of_tokens() const {
    return static_cast<unsigned>(tables.k * Sizes::kTokens);
  }

  /// L, the first stage, the block's slots, and zeros for the sums.
  CDSP_HOST_DEVICE void load(const Step& step, int64_t block, unsigned thread, Memory& shared,
                             SlotTables<T>& slots, Sums& own) const {
    constexpr unsigned beside = kWidth / kQuad;
    constexpr int apart = Sizes::kThreads / static_cast<int>(beside),
                  quads = Sizes::kTokens / apart;
    const int token = static_cast<int>(thread / beside),
              column = static_cast<int>(thread % beside * kQuad), there = tokens_of(block);
    const T* from = left + first_token(block) * d;
    Quad<T> row[quads], stage[Layout<false>::kCarried];
    fetch<false>(0, step.stretch, thread, stage);
    CDSP_UNROLL
    for (int i = 0; i < quads; ++i) {
      const int of_row = token + i * apart;
      row[i] = load_quad<kWide>(from + of_row * d + column, of_row < there ? d - column : 0);
    }
    // What waits for two reads in a row, while those above are under way.
    if (step.stretch == 0) load_slots(block, thread, slots);
    CDSP_UNROLL
    for (int i = 0; i < quads; ++i)
      put_quad(row[i], &shared.stages.rows[1][token + i * apart][column]);
    put<false>(thread, stage, shared.stages.stage[0]);
    CDSP_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < 2 * kQuad; ++j) {
        own.first[i][j] = 0;
        if (step.stretch == 0) own.second[i][j] = 0;
      }
    }
  }

  CDSP_HOST_DEVICE void first_product(const Step& step, unsigned thread, Memory& shared,
                                      Sums& own) const {
    const bool is_last = step.number + 1 == first_stages();
    Quad<T> next[Layout<false>::kCarried];
    if (is_last)
      fetch<true>(0, step.stretch, thread, next);
    else
      fetch<false>(step.number + 1, step.stretch, thread, next);
    const Place at(thread);
    multiply<false>(&shared.stages.rows[1][at.token][step.number * kDepth],
                    shared.stages.stage[step.number & 1] + at.warp * kWidth, at, own.first);
    T* to = shared.stages.stage[(step.number + 1) & 1];
    if (is_last)
      put<true>(thread, next, to);
    else
      put<false>(thread, next, to);
  }

  CDSP_HOST_DEVICE void second_product(const Step& step, unsigned thread, Memory& shared,
                                       Sums& own) const {
    const int stage = first_stages() + step.number;
    const bool is_last = step.number + 1 == second_stages(step.stretch);
    Quad<T> next[Layout<true>::kCarried] = {};
    if (!is_last) fetch<true>(step.number + 1, step.stretch, thread, next);
    const Place at(thread);
    multiply<true>(&shared.stages.rows[step.number & 1][at.token][at.warp * kPiece],
                   shared.stages.stage[stage & 1] + at.warp * kDepth * kWidth, at, own.second);
    if (is_last) return;
    put<true>(thread, next, shared.stages.stage[(stage + 1) & 1]);
    put_piece(step.number + 1, thread, own, shared);
  }

  /// G's columns piece * kPiece and on of every warp, which half of the warp's threads hold.
  CDSP_HOST_DEVICE static void put_piece(int piece, unsigned thread, const Sums& own,
                                         Memory& shared) {
    const Place at(thread);
    if (at.column / kPiece != (piece & 1)) return;
    T* to = &shared.stages.rows[piece & 1][at.token][at.warp * kPiece + at.column % kPiece];
    CDSP_UNROLL
    for (int i = 0; i < kOwn; ++i) {
      Quad<T> quad;
      CDSP_UNROLL
      for (int j = 0; j < kQuad; ++j)
        quad.x[j] = piece < 2 ? own.first[i][j] : own.first[i][kQuad + j];
      put_quad(quad, to + i * kTokenLanes * Sizes::kRow);
    }
  }

  /// What a thread does not add up itself, to those who do; and the residual of what it does, in
  /// place of the first sums, which nobody needs any more.
  CDSP_HOST_DEVICE void hand_over(int64_t block, unsigned thread, Memory& shared, Sums& own) const {
    const Place at(thread);
    const int there = tokens_of(block);
    CDSP_UNROLL
    for (int warp = 0; warp < Sizes::kWarps; ++warp) {
      CDSP_UNROLL
      for (int n = 0; n < Memory::kShare; ++n) {
        const int i = (warp * Memory::kShare + n) / 2, half = (warp * Memory::kShare + n) % 2;
        Quad<T> quad;
        if (warp == at.warp) {
          const int token = at.token_of(i), column = at.column_of(half);
          CDSP_UNROLL
          for (int j = 0; j < kQuad; ++j) quad.x[j] = 0;
          if (residual != nullptr)
            quad = load_quad<kWide>(residual + first_token(block) * d + token * d + column,
                                    token < there ? d - column : 0);
          CDSP_UNROLL
          for (int j = 0; j < kQuad; ++j) own.first[i][half * kQuad + j] = quad.x[j];
        } else {
          CDSP_UNROLL
          for (int j = 0; j < kQuad; ++j) quad.x[j] = own.second[i][half * kQuad + j];
          shared.sums[warp][at.warp < warp ? at.warp : at.warp - 1][n][at.lane] = quad;
        }
      }
    }
  }

  CDSP_HOST_DEVICE void finish(int64_t block, unsigned thread, const Memory& shared,
                               const Sums& own) const {
    const Place at(thread);
    const int there = tokens_of(block);
    T* to = out + first_token(block) * d;
    CDSP_UNROLL
    for (int warp = 0; warp < Sizes::kWarps; ++warp) {
      if (warp != at.warp) continue;
      CDSP_UNROLL
      for (int n = 0; n < Memory::kShare; ++n) {
        const int i = (warp * Memory::kShare + n) / 2, half = (warp * Memory::kShare + n) % 2;
        Quad<T> total;
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) total.x[j] = own.second[i][half * kQuad + j];
        CDSP_UNROLL
        for (int other = 0; other < Sizes::kWarps - 1; ++other) {
          const Quad<T> part = shared.sums[warp][other][n][at.lane];
          CDSP_UNROLL
          for (int j = 0; j < kQuad; ++j) total.x[j] += part.x[j];
        }
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) total.x[j] += own.first[i][half * kQuad + j];
        const int token = at.token_of(i), column = at.column_of(half);
        store_quad<kWide>(total, to + token * d + column, token < there ? d - column : 0);
      }
    }
  }

 private:
  CDSP_HOST_DEVICE void load_slots(int64_t block, unsigned thread, SlotTables<T>& slots) const {
    for (unsigned n = thread; n < slots_of_tokens(); n += Sizes::kThreads) {
      const auto slot = static_cast<int>(n / Sizes::kTokens),
                 token = static_cast<int>(n % Sizes::kTokens);
      int64_t expert = 0;
      T weight = 0, gate = 0;
      if (token < tokens_of(block)) {
        const int64_t row = first_token(block) + token;
        expert = tables.indices[row * tables.k + slot];
        weight = tables.weights[row * tables.experts + expert];
        gate = tables.gate_of(expert);
      }
      slots.expert[slot][token] = static_cast<int>(expert);
      slots.weight[slot][token] = weight;
      slots.gate[slot][token] = gate;
      slots.factor[slot][token] = weight * gate;
    }
  }

  /// A stage of the first or second matrix, zeros beyond its ends.
  template <bool kIsSecond, int kCarried>
  CDSP_HOST_DEVICE void fetch(int number, int stretch, unsigned thread,
                              Quad<T> (&quads)[kCarried]) const {
    const T* matrix = kIsSecond ? second_matrix : first_matrix;
    const int rows = kIsSecond ? tables.columns : d, across = kIsSecond ? d : tables.columns;
    const auto place = Layout<kIsSecond>::of(thread);
    const int first_column = stretch * Sizes::kColumns;
    const int first_row = (kIsSecond ? first_column : 0) + number * kDepth + place.row,
              column = (kIsSecond ? 0 : first_column) + place.column;
    const T* from = matrix + (kUpright ? column * rows + first_row : first_row * across + column);
    CDSP_UNROLL
    for (int i = 0; i < kCarried; ++i) {
      const auto on = Layout<kIsSecond>::beyond_first(i);
      const int down = on.part * kWidth + on.row;
      quads[i] = kUpright
                     ? load_quad<kWide>(from + on.column * rows + down,
                                        column + on.column < across ? rows - first_row - down : 0)
                     : load_quad<kWide>(from + down * across + on.column,
                                        first_row + down < rows ? across - column - on.column : 0);
    }
  }

  template <bool kIsSecond, int kCarried>
  CDSP_HOST_DEVICE static void put(unsigned thread, const Quad<T> (&quads)[kCarried], T* stage) {
    T* to = stage + Layout<kIsSecond>::of(thread).at();
    CDSP_UNROLL
    for (int i = 0; i < kCarried; ++i) {
      const int on = Layout<kIsSecond>::beyond_first(i).at();
      if constexpr (kUpright) {
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) to[on + j * Layout<kIsSecond>::kAcross] = quads[i].x[j];
      } else {
        put_quad(quads[i], to + on);
      }
    }
  }

  /// The thread's sums over kDepth numbers of its tokens' rows: `row` is the first token's.
  template <bool kIsSecond>
  CDSP_HOST_DEVICE static void multiply(const T* row, const T* stage, const Place& at,
                                        T (&sums)[kOwn][2 * kQuad]) {
    CDSP_UNROLL
    for (int first = 0; first < kDepth; first += kQuad) {
      const T* matrix = stage + first * Layout<kIsSecond>::kAcross +
                        Layout<kIsSecond>::place_of(at.column, first);
      Quad<T> a[kOwn];
      CDSP_UNROLL
      for (int i = 0; i < kOwn; ++i) a[i] = quad_at(row + i * kTokenLanes * Sizes::kRow + first);
      CDSP_UNROLL
      for (int k = 0; k < kQuad; ++k) {
        const Quad<T> b = quad_at(matrix + k * Layout<kIsSecond>::kAcross),
                      c = quad_at(matrix + k * Layout<kIsSecond>::kAcross + kHalf);
        CDSP_UNROLL
        for (int i = 0; i < kOwn; ++i) {
          CDSP_UNROLL
          for (int j = 0; j < kQuad; ++j) {
            sums[i][j] += a[i].x[k] * b.x[j];
            sums[i][kQuad + j] += a[i].x[k] * c.x[j];
          }
        }
      }
    }
  }
};

}  // namespace gated_experts
}  // namespace cdsp
