// The CDSP layer (cdsp_layer.h) as one block program each way: both of its products and what stands
// between them (cdsp_layer_blocks.h, where the letters are explained).
//
//   Z = X U     H = SiLU(Z) a           Y = residual + H V       forward; Z is kept
//   P = E V^T   dZ = P a SiLU'(Z)       dX = dZ U^T              backward; P is kept
//               q_ti = sum_c P_tc SiLU(Z_tc) M_ic   dw_ti = s_i q_ti   ds_i = sum_t w_ti q_ti
//
// H and dZ never leave a block. How its threads share the products: gated_experts_tiles.h.
#pragma once

#include "kernels/gated_experts_tiles.h"

namespace cdsp {
namespace gated_experts {

/// M_ic of the experts in a slot of a thread's tokens, four columns from `column` on.
template <bool kWide, typename T, int kOwn>
CDSP_HOST_DEVICE void load_masks(const GateTables<T>& tables, const SlotTables<T>& slots, int slot,
                                 const TilePlace<T>& at, int column, Quad<T> (&masks)[kOwn]) {
  CDSP_UNROLL
  for (int i = 0; i < kOwn; ++i) {
    const auto from =
        static_cast<unsigned>(slots.expert[slot][at.token_of(i)] * tables.columns + column);
    masks[i] = load_quad<kWide>(tables.mask + from, tables.columns - column);
  }
}

/// Adds w s M of a slot to a_tc.
template <typename T, int kOwn>
CDSP_HOST_DEVICE void add_gates(const SlotTables<T>& slots, int slot, const TilePlace<T>& at,
                                const Quad<T> (&masks)[kOwn], T (&gates)[kOwn][kQuad]) {
  CDSP_UNROLL
  for (int i = 0; i < kOwn; ++i) {
    const T factor = slots.factor[slot][at.token_of(i)];
    CDSP_UNROLL
    for (int j = 0; j < kQuad; ++j) gates[i][j] += factor * masks[i].x[j];
  }
}

}  // namespace gated_experts

/// x [tokens, d], u [d, columns], v [columns, d] -> z [tokens, columns], y [tokens, d].
template <typename T, bool kWide>
struct GatedExperts {
  using Tiles = gated_experts::ExpertTiles<T, false, kWide>;
  using Sizes = typename Tiles::Sizes;
  using Work = gated_experts::Work;
  static constexpr int kThreads = Sizes::kThreads;
  static constexpr int kQuad = gated_experts::kQuad;
  struct Shared {
    typename Tiles::Memory memory;
    gated_experts::SlotTables<T> slots;
  };
  using Registers = typename Tiles::Sums;

  Tiles tiles;
  T* z;

  int64_t blocks() const { return tiles.blocks(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return tiles.phases(); }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread_of_block, Shared& shared,
                            Registers& own) const {
    const unsigned thread = gated_experts::not_ahead(static_cast<unsigned>(thread_of_block));
    const gated_experts::Step step = tiles.step_of(phase);
    switch (step.work) {
      case Work::kLoad:
        return tiles.load(step, block, thread, shared.memory, shared.slots, own);
      case Work::kFirst:
        return tiles.first_product(step, thread, shared.memory, own);
      case Work::kGates:
        CDSP_UNROLL
        for (int half = 0; half < 2; ++half) apply(half, step.stretch, block, thread, shared, own);
        return tiles.put_piece(0, thread, own, shared.memory);
      case Work::kSecond:
        return tiles.second_product(step, thread, shared.memory, own);
      case Work::kHandOver:
        return tiles.hand_over(block, thread, shared.memory, own);
      case Work::kFinish:
        return tiles.finish(block, thread, shared.memory, own);
      case Work::kBetween:
        break;
    }
  }

  /// Z -> H.
  CDSP_HOST_DEVICE void apply(int half, int stretch, int64_t block, unsigned thread,
                              const Shared& shared, Registers& own) const {
    using namespace gated_experts;
    const TilePlace<T> at(thread);
    const GateTables<T>& tables = tiles.tables;
    const int column = at.column_of(stretch, half), there = tiles.tokens_of(block);
    T* to = z + tiles.first_token(block) * tables.columns + column;
    T gates[Sizes::kOwn][kQuad];
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      Quad<T> value;
      CDSP_UNROLL
      for (int j = 0; j < kQuad; ++j) {
        value.x[j] = own.first[i][half * kQuad + j];
        gates[i][j] = 0;
      }
      const int token = at.token_of(i);
      store_quad<kWide>(value, to + token * tables.columns,
                        token < there ? tables.columns - column : 0);
    }
    for (int slot = 0; slot < tables.k; ++slot) {
      Quad<T> masks[Sizes::kOwn];
      load_masks<kWide>(tables, shared.slots, slot, at, column, masks);
      add_gates(shared.slots, slot, at, masks, gates);
    }
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kQuad; ++j) {
        T& value = own.first[i][half * kQuad + j];
        value *= sigmoid_of(value) * gates[i][j];
      }
    }
  }
};

/// e [tokens, d], v, u, z -> d_hidden = P [tokens, columns], d_x [tokens, d], d_weights [tokens,
/// experts], zero where a token did not go; and the blocks' shares of ds, gate_parts [blocks,
/// experts].
template <typename T, bool kWide>
struct GatedExpertsBackward {
  using Tiles = gated_experts::ExpertTiles<T, true, kWide>;
  using Sizes = typename Tiles::Sizes;
  using Work = gated_experts::Work;
  using Place = gated_experts::TilePlace<T>;
  using Quad = gated_experts::Quad<T>;
  static constexpr int kThreads = Sizes::kThreads;
  static constexpr int kQuad = gated_experts::kQuad;
  static constexpr int kSlots = 2;  // slots of q summed between two barriers
  /// Threads that hold parts of a q; a token's parts lie in a row of L, which is over by then.
  static constexpr int kParts = Sizes::kWarps * gated_experts::kColumnLanes;
  static_assert(kSlots * (kParts + 1) <= Sizes::kRow, "a token's parts in a row");
  struct Shared {
    typename Tiles::Memory memory;
    gated_experts::SlotTables<T> slots;
    typename gated_experts::SlotTables<T>::template Table<T> q;
  };
  using Registers = typename Tiles::Sums;

  Tiles tiles;  // with between = phases_between(k)
  const T* z;
  T *d_hidden, *d_weights, *gate_parts;

  /// A round's parts are put, the first round's with the gates, and added up.
  static int phases_between(int k) { return 2 * ((k + kSlots - 1) / kSlots) - 1; }
  int64_t blocks() const { return tiles.blocks(); }
  CDSP_HOST_DEVICE int phases(int64_t) const { return tiles.phases(); }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread_of_block, Shared& shared,
                            Registers& own) const {
    const unsigned thread = gated_experts::not_ahead(static_cast<unsigned>(thread_of_block));
    const gated_experts::Step step = tiles.step_of(phase);
    const Place at(thread);
    switch (step.work) {
      case Work::kLoad:
        if (step.stretch == 0) clear_weights(block, thread);
        return tiles.load(step, block, thread, shared.memory, shared.slots, own);
      case Work::kFirst:
        return tiles.first_product(step, thread, shared.memory, own);
      case Work::kGates:
        apply(step.stretch, block, at, shared, own);
        return tiles.put_piece(0, thread, own, shared.memory);
      case Work::kBetween:
        return (step.number & 1) == 0 ? add_up(step.number >> 1, step.stretch, thread, shared)
                                      : next_round(step, block, at, shared);
      case Work::kSecond:
        return tiles.second_product(step, thread, shared.memory, own);
      case Work::kHandOver:
        finish_weights(block, thread, shared);
        return tiles.hand_over(block, thread, shared.memory, own);
      case Work::kFinish:
        return tiles.finish(block, thread, shared.memory, own);
    }
  }

  CDSP_HOST_DEVICE void clear_weights(int64_t block, unsigned thread) const {
    T* to = d_weights + tiles.first_token(block) * tiles.tables.experts;
    const auto numbers = static_cast<unsigned>(tiles.tokens_of(block) * tiles.tables.experts);
    for (unsigned n = thread; n < numbers; n += kThreads) to[n] = 0;
  }

  /// P -> dZ; and the first slots' q.
  CDSP_HOST_DEVICE void apply(int stretch, int64_t block, const Place& at, Shared& shared,
                              Registers& own) const {
    T q[Sizes::kOwn][kSlots];
    clear(q);
    Quad value[2][Sizes::kOwn];  // Z of both halves, so that all of it is under way at once
    CDSP_UNROLL
    for (int half = 0; half < 2; ++half) load_own(z, half, stretch, block, at, value[half]);
    CDSP_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int column = at.column_of(stretch, half), there = tiles.tokens_of(block);
      T* to = d_hidden + tiles.first_token(block) * tiles.tables.columns + column;
      CDSP_UNROLL
      for (int i = 0; i < Sizes::kOwn; ++i) {
        Quad upstream;
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) upstream.x[j] = own.first[i][half * kQuad + j];
        const int token = at.token_of(i);
        gated_experts::store_quad<kWide>(upstream, to + token * tiles.tables.columns,
                                         token < there ? tiles.tables.columns - column : 0);
      }
      T gates[Sizes::kOwn][kQuad];
      CDSP_UNROLL
      for (int i = 0; i < Sizes::kOwn; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) {
          const T upstream = own.first[i][half * kQuad + j], of_z = value[half][i].x[j],
                  s = sigmoid_of(of_z);
          value[half][i].x[j] = upstream * of_z * s;
          own.first[i][half * kQuad + j] = upstream * s * (T(1) + of_z * (T(1) - s));
          gates[i][j] = 0;
        }
      }
      CDSP_UNROLL
      for (int slot = 0; slot < kSlots; ++slot) {
        if (slot >= tiles.tables.k) continue;
        Quad masks[Sizes::kOwn];
        gated_experts::load_masks<kWide>(tiles.tables, shared.slots, slot, at, column, masks);
        gated_experts::add_gates(shared.slots, slot, at, masks, gates);
        add_selected(value[half], masks, slot, q);
      }
      for (int slot = kSlots; slot < tiles.tables.k; ++slot) {
        Quad masks[Sizes::kOwn];
        gated_experts::load_masks<kWide>(tiles.tables, shared.slots, slot, at, column, masks);
        gated_experts::add_gates(shared.slots, slot, at, masks, gates);
      }
      CDSP_UNROLL
      for (int i = 0; i < Sizes::kOwn; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) own.first[i][half * kQuad + j] *= gates[i][j];
      }
    }
    put_parts(at, q, shared);
  }

  /// q of further slots, from what the thread itself has stored: P is no longer in its registers.
  CDSP_HOST_DEVICE void next_round(const gated_experts::Step& step, int64_t block, const Place& at,
                                   Shared& shared) const {
    const int first_slot = ((step.number >> 1) + 1) * kSlots;
    T q[Sizes::kOwn][kSlots];
    clear(q);
    for (int half = 0; half < 2; ++half) {
      Quad hidden[Sizes::kOwn], upstream[Sizes::kOwn];
      load_own(z, half, step.stretch, block, at, hidden);
      load_own(d_hidden, half, step.stretch, block, at, upstream);
      CDSP_UNROLL
      for (int i = 0; i < Sizes::kOwn; ++i) {
        CDSP_UNROLL
        for (int j = 0; j < kQuad; ++j) {
          const T of_z = hidden[i].x[j];
          hidden[i].x[j] = upstream[i].x[j] * of_z * sigmoid_of(of_z);
        }
      }
      CDSP_UNROLL
      for (int slot = 0; slot < kSlots; ++slot) {
        if (first_slot + slot >= tiles.tables.k) continue;
        Quad masks[Sizes::kOwn];
        gated_experts::load_masks<kWide>(tiles.tables, shared.slots, first_slot + slot, at,
                                         at.column_of(step.stretch, half), masks);
        add_selected(hidden, masks, slot, q);
      }
    }
    put_parts(at, q, shared);
  }

  /// The thread's quads of a table [tokens, columns].
  CDSP_HOST_DEVICE void load_own(const T* table, int half, int stretch, int64_t block,
                                 const Place& at, Quad (&quads)[Sizes::kOwn]) const {
    const int column = at.column_of(stretch, half), there = tiles.tokens_of(block);
    const T* from = table + tiles.first_token(block) * tiles.tables.columns + column;
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      const int token = at.token_of(i);
      quads[i] = gated_experts::load_quad<kWide>(from + token * tiles.tables.columns,
                                                 token < there ? tiles.tables.columns - column : 0);
    }
  }

  CDSP_HOST_DEVICE static void clear(T (&q)[Sizes::kOwn][kSlots]) {
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      CDSP_UNROLL
      for (int slot = 0; slot < kSlots; ++slot) q[i][slot] = 0;
    }
  }

  CDSP_HOST_DEVICE static void add_selected(const Quad (&hidden)[Sizes::kOwn],
                                            const Quad (&masks)[Sizes::kOwn], int slot,
                                            T (&q)[Sizes::kOwn][kSlots]) {
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      CDSP_UNROLL
      for (int j = 0; j < kQuad; ++j) q[i][slot] += hidden[i].x[j] * masks[i].x[j];
    }
  }

  CDSP_HOST_DEVICE static void put_parts(const Place& at, const T (&q)[Sizes::kOwn][kSlots],
                                         Shared& shared) {
    const int part = at.warp * gated_experts::kColumnLanes + at.column / kQuad;
    CDSP_UNROLL
    for (int i = 0; i < Sizes::kOwn; ++i) {
      CDSP_UNROLL
      for (int slot = 0; slot < kSlots; ++slot)
        shared.memory.stages.rows[1][at.token_of(i)][slot * (kParts + 1) + part] = q[i][slot];
    }
  }

  /// A round's q of this stretch of columns, added to those before.
  CDSP_HOST_DEVICE void add_up(int round, int stretch, unsigned thread, Shared& shared) const {
    constexpr int chains = 4;  // sums that need not wait for each other
    for (unsigned n = thread; n < kSlots * Sizes::kTokens; n += kThreads) {
      const auto token = static_cast<int>(n % Sizes::kTokens),
                 of_round = static_cast<int>(n / Sizes::kTokens);
      const int slot = round * kSlots + of_round;
      if (slot >= tiles.tables.k) return;
      const T* parts = &shared.memory.stages.rows[1][token][of_round * (kParts + 1)];
      T sum[chains];
      CDSP_UNROLL
      for (int i = 0; i < chains; ++i) sum[i] = parts[i];
      CDSP_UNROLL
      for (int i = chains; i < kParts; ++i) sum[i % chains] += parts[i];
      const T total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
      shared.q[slot][token] = stretch == 0 ? total : shared.q[slot][token] + total;
    }
  }

  /// dw_ti = s_i q_ti, and ds_i = sum_t w_ti q_ti of the block's tokens.
  CDSP_HOST_DEVICE void finish_weights(int64_t block, unsigned thread, const Shared& shared) const {
    const GateTables<T>& tables = tiles.tables;
    const gated_experts::SlotTables<T>& slots = shared.slots;
    for (unsigned n = thread; n < tiles.slots_of_tokens(); n += kThreads) {
      const auto slot = static_cast<int>(n / Sizes::kTokens),
                 token = static_cast<int>(n % Sizes::kTokens);
      if (token >= tiles.tokens_of(block)) continue;
      const int64_t row = tiles.first_token(block) + token;
      d_weights[row * tables.experts + slots.expert[slot][token]] =
          slots.gate[slot][token] * shared.q[slot][token];
    }
    constexpr int chains = 4;
    for (int expert = static_cast<int>(thread); expert < tables.experts; expert += kThreads) {
      T sum[chains];
      CDSP_UNROLL
      for (int i = 0; i < chains; ++i) sum[i] = 0;
      for (int slot = 0; slot < tables.k; ++slot) {
        CDSP_UNROLL
        for (int token = 0; token < Sizes::kTokens; ++token) {
          if (slots.expert[slot][token] == expert)
            sum[token % chains] += slots.weight[slot][token] * shared.q[slot][token];
        }
      }
      gate_parts[block * tables.experts + expert] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
  }
};

}  // namespace cdsp
