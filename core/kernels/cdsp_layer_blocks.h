// What stands between the matrix products of the CDSP layer (cdsp_layer.h), as block programs. With
// Z = X U, a_tc = sum over the experts i of token t of w_ti s_i M_ic, P = (E V^T) from upstream E:
//
//   H = SiLU(Z) a                                     forward; Y = H V
//   dZ = P a SiLU'(Z)                                 dX = dZ U^T
//   dw_ti = s_i q_ti,  ds_i = sum_t w_ti q_ti         q_ti = sum_c P_tc SiLU(Z_tc) M_ic
//
// The experts' own gradients: expert_gradients_blocks.h.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

template <typename T>
CDSP_HOST_DEVICE T sigmoid_of(T z) {
#ifdef __CUDA_ARCH__
  // The exact quotient and power take some thirty instructions, these five; they are off by a few
  // roundings (|z| of them in the far tails, where little is left).
  if constexpr (sizeof(T) == sizeof(float)) return __fdividef(1.0F, 1.0F + __expf(-z));
#endif
  return T(1) / (T(1) + std::exp(-z));
}

template <typename T>
CDSP_HOST_DEVICE T silu_slope(T z) {
  const T s = sigmoid_of(z);
  return s * (T(1) + z * (T(1) - s));
}

/// The layer's routing and selection.
template <typename T>
struct GateTables {
  const int64_t* indices;  // [tokens, k]
  const T* weights;        // [tokens, experts]
  const T* gate;           // [experts]; null: 1 for all
  const T* mask;           // [experts, columns]; null: each expert its own stretch of the columns
  int experts, k, columns;

  CDSP_HOST_DEVICE T gate_of(int64_t expert) const { return gate != nullptr ? gate[expert] : T(1); }
  CDSP_HOST_DEVICE T selects(int64_t expert, int column) const {
    if (mask != nullptr) return mask[expert * columns + column];
    const int begin = static_cast<int>(expert) * width();
    return column >= begin && column < begin + width() ? T(1) : T(0);
  }
  CDSP_HOST_DEVICE int width() const { return columns / experts; }

  /// a_tc of the columns `first`, first + lanes, ... of a token, those beyond the last left alone.
  template <int kColumns>
  CDSP_HOST_DEVICE void column_gates(int64_t token, int first, int lanes,
                                     T (&gates)[kColumns]) const {
    CDSP_UNROLL
    for (int i = 0; i < kColumns; ++i) gates[i] = 0;
    for (int slot = 0; slot < k; ++slot) {
      const int64_t expert = indices[token * k + slot];
      const T factor = weights[token * experts + expert] * gate_of(expert);
      CDSP_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const int column = first + i * lanes;
        if (column < columns) gates[i] += factor * selects(expert, column);
      }
    }
  }
};

namespace gated_hidden {
inline constexpr int kLanes = 32;   // threads that share a token, neighbours in memory
inline constexpr int kColumns = 8;  // that a thread has in hand at once
inline constexpr int kStretch = kLanes * kColumns;
}  // namespace gated_hidden

/// z [tokens, columns] -> hidden, the same shape. With a bias [columns], which may be null, z is
/// what it comes to with it.
template <typename T>
struct GatedHidden {
  static constexpr int kThreads = 256;
  static constexpr int kTokens = kThreads / gated_hidden::kLanes;
  using Shared = Nothing;
  using Registers = Nothing;

  GateTables<T> tables;
  const T* bias;
  T *z, *hidden;
  int64_t tokens;

  int64_t blocks() const { return (tokens + kTokens - 1) / kTokens; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    using namespace gated_hidden;
    const int64_t token = block * kTokens + thread / kLanes, row = token * tables.columns;
    if (token >= tokens) return;
    for (int first = thread % kLanes; first < tables.columns; first += kStretch) {
      T value[kColumns], gates[kColumns];
      CDSP_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const int column = first + i * kLanes;
        value[i] = column < tables.columns ? z[row + column] : T(0);
      }
      tables.column_gates(token, first, kLanes, gates);
      CDSP_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const int column = first + i * kLanes;
        if (column >= tables.columns) continue;
        if (bias != nullptr) z[row + column] = value[i] += bias[column];
        hidden[row + column] = value[i] * sigmoid_of(value[i]) * gates[i];
      }
    }
  }
};

/// d_hidden = P [tokens, columns] -> d_z, the same shape; d_weights [tokens, experts], zero where a
/// token did not go, with e_t . b2_i where upstream e [tokens, d] and b2 [experts, d] are given;
/// and the blocks' shares of ds, gate_parts [blocks, experts], which is null where the tables have
/// no gate.
template <typename T>
struct GatedHiddenBackward {
  static constexpr int kThreads = 256;
  static constexpr int kLanes = gated_hidden::kLanes;
  static constexpr int kTokens = kThreads / kLanes;
  static constexpr int kSlots = 4;  // slots summed between two barriers
  struct Shared {
    T sums[kTokens][kSlots][kLanes + 1];  // q in parts; one more, so that slots differ in banks
  };
  using Registers = Nothing;

  GateTables<T> tables;
  const T *z, *d_hidden, *upstream, *b2;
  T *d_z, *d_weights, *gate_parts;
  int64_t tokens;
  int d;

  int64_t blocks() const { return (tokens + kTokens - 1) / kTokens; }
  CDSP_HOST_DEVICE int phases_of_slots() const { return 2 * ((tables.k + kSlots - 1) / kSlots); }
  CDSP_HOST_DEVICE int phases(int64_t) const {
    return phases_of_slots() + (gate_parts != nullptr ? 1 : 0);
  }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    if (phase == phases_of_slots()) return finish_gates(block, thread);
    const int local = thread / kLanes, lane = thread % kLanes;
    const int64_t token = block * kTokens + local;
    if (token >= tokens) return;
    const int first_slot = phase / 2 * kSlots;
    const int slots = tables.k - first_slot < kSlots ? tables.k - first_slot : kSlots;
    if (phase % 2 == 0) {
      if (phase == 0) {
        for (int e = lane; e < tables.experts; e += kLanes)
          d_weights[token * tables.experts + e] = 0;
      }
      go_through_columns(token, first_slot, slots, lane, shared.sums[local]);
    } else if (lane < slots) {
      const int64_t expert = tables.indices[token * tables.k + first_slot + lane];
      T sum = 0;
      for (int i = 0; i < kLanes; ++i) sum += shared.sums[local][lane][i];
      d_weights[token * tables.experts + expert] = sum;  // q, times s_i in the last phase
    }
  }

  CDSP_HOST_DEVICE void go_through_columns(int64_t token, int first_slot, int slots, int lane,
                                           T (&sums)[kSlots][kLanes + 1]) const {
    using gated_hidden::kColumns;
    const int64_t row = token * tables.columns;
    T q[kSlots];
    CDSP_UNROLL
    for (int slot = 0; slot < kSlots; ++slot) q[slot] = 0;
    for (int first = lane; first < tables.columns; first += gated_hidden::kStretch) {
      T hidden[kColumns], slope[kColumns];  // P SiLU(Z) and P SiLU'(Z)
      CDSP_UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const int column = first + i * kLanes;
        const bool is_there = column < tables.columns;
        const T value = is_there ? z[row + column] : T(0);
        const T upstream = is_there ? d_hidden[row + column] : T(0);
        const T s = sigmoid_of(value);
        hidden[i] = upstream * value * s;
        slope[i] = upstream * s * (T(1) + value * (T(1) - s));
      }
      if (first_slot == 0) {
        T gates[kColumns];
        tables.column_gates(token, first, kLanes, gates);
        CDSP_UNROLL
        for (int i = 0; i < kColumns; ++i) {
          const int column = first + i * kLanes;
          if (column < tables.columns) d_z[row + column] = slope[i] * gates[i];
        }
      }
      CDSP_UNROLL
      for (int slot = 0; slot < kSlots; ++slot) {
        if (slot >= slots) continue;
        const int64_t expert = tables.indices[token * tables.k + first_slot + slot];
        CDSP_UNROLL
        for (int i = 0; i < kColumns; ++i) {
          const int column = first + i * kLanes;
          if (column < tables.columns) q[slot] += hidden[i] * tables.selects(expert, column);
        }
      }
    }
    CDSP_UNROLL
    for (int slot = 0; slot < kSlots; ++slot) {
      if (b2 != nullptr && slot < slots) {
        const int64_t expert = tables.indices[token * tables.k + first_slot + slot];
        for (int c = lane; c < d; c += kLanes)
          q[slot] += upstream[token * d + c] * b2[expert * d + c];
      }
      sums[slot][lane] = q[slot];
    }
  }

  /// ds_i = sum_t w_ti q_ti of the block's tokens, and dw_ti = s_i q_ti.
  CDSP_HOST_DEVICE void finish_gates(int64_t block, int thread) const {
    for (int expert = thread; expert < tables.experts; expert += kThreads) {
      const T gate = tables.gate_of(expert);
      T sum = 0;
      for (int64_t token = block * kTokens; token < tokens && token < (block + 1) * kTokens;
           ++token) {
        const int64_t at = token * tables.experts + expert;
        const T q = d_weights[at];
        sum += tables.weights[at] * q;
        d_weights[at] = gate * q;
      }
      gate_parts[block * tables.experts + expert] = sum;
    }
  }
};

}  // namespace cdsp
