// What standard experts (standard_experts.h) have beside the programs of a CDSP layer, as a block
// program: the output's biases and the residual stream,
//
//   y_t = r_t + (hidden W2)_t + sum over the experts i of token t of w_ti b2_i
#pragma once

#include "kernels/block_grid.h"
#include "kernels/cdsp_layer_blocks.h"

namespace cdsp {

/// y [tokens, d] in place; b2 [experts, d]; residual [tokens, d] may be null. A thread a number.
template <typename T>
struct AddOutputBiases {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Registers = Nothing;

  GateTables<T> tables;
  const T *b2, *residual;
  T* y;
  int64_t tokens;
  int d;

  int64_t blocks() const { return (tokens * d + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t at = block * kThreads + thread;
    if (at >= tokens * d) return;
    const int64_t token = at / d, column = at - token * d;
    T sum = residual != nullptr ? residual[at] + y[at] : y[at];
    for (int slot = 0; slot < tables.k; ++slot) {
      const int64_t expert = tables.indices[token * tables.k + slot];
      sum += tables.weights[token * tables.experts + expert] * b2[expert * d + column];
    }
    y[at] = sum;
  }
};

}  // namespace cdsp
