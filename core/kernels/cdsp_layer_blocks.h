// What stands between the matrix products of the CDSP layer (cdsp_layer.h), as block programs. With
// Z = X U, a_tc = sum over the experts i of token t of w_ti s_i M_ic, P = (E V^T) from upstream E:
//
//   H = SiLU(Z) a                                     forward; Y = H V
//   dZ = P a SiLU'(Z)                                 dX = dZ U^T
//   dw_ti = s_i q_ti,  ds_i = sum_t w_ti q_ti         q_ti = sum_c P_tc SiLU(Z_tc) M_ic
//
// and for the experts' gradients the rows of each (token, expert) pair, which weighted sums over
// the pairs of an expert turn into g_i.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"

namespace cdsp {

template <typename T>
CDSP_HOST_DEVICE T sigmoid_of(T z) {
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
    return column / width() == expert ? T(1) : T(0);
  }
  CDSP_HOST_DEVICE int width() const { return columns / experts; }

  CDSP_HOST_DEVICE T column_gate(int64_t token, int column) const {
    T sum = 0;
    for (int slot = 0; slot < k; ++slot) {
      const int64_t expert = indices[token * k + slot];
      sum += weights[token * experts + expert] * gate_of(expert) * selects(expert, column);
    }
    return sum;
  }
};

/// z [tokens, columns] -> hidden, the same shape. A thread an element.
template <typename T>
struct GatedHidden {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Registers = Nothing;

  GateTables<T> tables;
  const T* z;
  T* hidden;
  int64_t tokens;

  int64_t blocks() const { return (tokens * tables.columns + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t at = block * kThreads + thread, token = at / tables.columns;
    if (token >= tokens) return;
    const int column = static_cast<int>(at - token * tables.columns);
    hidden[at] = z[at] * sigmoid_of(z[at]) * tables.column_gate(token, column);
  }
};

/// d_hidden = P [tokens, columns] -> d_z, the same shape; d_weights and gate_terms = w q
/// [tokens, experts], zero where a token did not go.
template <typename T>
struct GatedHiddenBackward {
  static constexpr int kThreads = 128;
  static constexpr int kLanes = 16;  // threads that share a token
  static constexpr int kTokens = kThreads / kLanes;
  static constexpr int kSlots = 4;  // slots summed between two barriers
  struct Shared {
    T sums[kTokens][kSlots][kLanes];
  };
  using Registers = Nothing;

  GateTables<T> tables;
  const T *z, *d_hidden;
  T *d_z, *d_weights, *gate_terms;
  int64_t tokens;

  int64_t blocks() const { return (tokens + kTokens - 1) / kTokens; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 2 * ((tables.k + kSlots - 1) / kSlots); }
  CDSP_HOST_DEVICE void run(int phase, int64_t block, int thread, Shared& shared,
                            Registers&) const {
    const int local = thread / kLanes, lane = thread % kLanes;
    const int64_t token = block * kTokens + local;
    if (token >= tokens) return;
    const int first_slot = phase / 2 * kSlots;
    const int slots = tables.k - first_slot < kSlots ? tables.k - first_slot : kSlots;
    const int64_t row = token * tables.columns, weight_row = token * tables.experts;
    if (phase == 0) {
      for (int c = lane; c < tables.columns; c += kLanes) {
        d_z[row + c] = d_hidden[row + c] * silu_slope(z[row + c]) * tables.column_gate(token, c);
      }
      for (int e = lane; e < tables.experts; e += kLanes) {
        d_weights[weight_row + e] = gate_terms[weight_row + e] = 0;
      }
    }
    if (phase % 2 == 0) {
      for (int slot = 0; slot < slots; ++slot) {
        const int64_t expert = tables.indices[token * tables.k + first_slot + slot];
        // Its own columns, or all of them and the mask.
        const int begin = tables.mask != nullptr ? 0 : static_cast<int>(expert) * tables.width();
        const int end = tables.mask != nullptr ? tables.columns : begin + tables.width();
        T sum = 0;
        for (int c = begin + lane; c < end; c += kLanes) {
          sum +=
              d_hidden[row + c] * z[row + c] * sigmoid_of(z[row + c]) * tables.selects(expert, c);
        }
        shared.sums[local][slot][lane] = sum;
      }
    } else if (lane < slots) {
      const int64_t expert = tables.indices[token * tables.k + first_slot + lane];
      T sum = 0;
      for (int i = 0; i < kLanes; ++i) sum += shared.sums[local][lane][i];
      d_weights[weight_row + expert] = tables.gate_of(expert) * sum;
      gate_terms[weight_row + expert] = tables.weights[weight_row + expert] * sum;
    }
  }
};

/// The rows of the pairs of an ExpertGrouping (token, weight [rows]; x, upstream [tokens, d];
/// z, d_hidden [tokens, columns]):
///   w x_t and w E_t [rows, d],   P SiLU'(Z) and SiLU(Z) of token t [rows, columns]
template <typename T>
struct PairRows {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Registers = Nothing;

  const int64_t* token;
  const T *weight, *x, *upstream, *z, *d_hidden;
  T *x_rows, *upstream_rows, *d_z_rows, *hidden_rows;
  int64_t rows;
  int d, columns;

  int64_t blocks() const { return (rows * (columns + d) + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t at = block * kThreads + thread, row = at / (columns + d);
    if (row >= rows) return;
    const int64_t column = at - row * (columns + d);
    if (column < columns) {
      const int64_t from = token[row] * columns + column, to = row * columns + column;
      d_z_rows[to] = d_hidden[from] * silu_slope(z[from]);
      hidden_rows[to] = z[from] * sigmoid_of(z[from]);
    } else {
      const int64_t from = token[row] * d + column - columns, to = row * d + column - columns;
      x_rows[to] = weight[row] * x[from];
      upstream_rows[to] = weight[row] * upstream[from];
    }
  }
};

/// u [experts, d, columns] and v [experts, columns, d] times s_i M_i, in place; and their sums over
/// the experts, d_u and d_v.
template <typename T>
struct FinishExpertGradients {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  const T *gate, *mask;
  T *u, *v, *d_u, *d_v;
  int experts, d, columns;

  CDSP_HOST_DEVICE int64_t size() const { return static_cast<int64_t>(d) * columns; }
  int64_t blocks() const { return (size() + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t at = block * kThreads + thread;
    if (at >= size()) return;
    const int64_t column_u = at % columns, column_v = at / d;
    T sum_u = 0, sum_v = 0;
    for (int expert = 0; expert < experts; ++expert) {
      const T* selected = mask + static_cast<int64_t>(expert) * columns;
      T& of_u = u[expert * size() + at];
      T& of_v = v[expert * size() + at];
      of_u *= gate[expert] * selected[column_u];
      of_v *= gate[expert] * selected[column_v];
      sum_u += of_u;
      sum_v += of_v;
    }
    d_u[at] = sum_u;
    d_v[at] = sum_v;
  }
};

}  // namespace cdsp
