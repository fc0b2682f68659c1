// A layer's routing and selection as the block programs take them.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cdsp_layer_blocks.h"

namespace cdsp {

/// indices int64 [tokens, k]; weights [tokens, N], gate [N], mask [N, D] of dtype T; all
/// contiguous, and alive as long as the tables are used.
template <typename T>
GateTables<T> tables_of(const at::Tensor& indices, const at::Tensor& weights,
                        const at::Tensor& gate, const at::Tensor& mask) {
  return {indices.data_ptr<int64_t>(),
          weights.data_ptr<T>(),
          gate.data_ptr<T>(),
          mask.data_ptr<T>(),
          static_cast<int>(mask.size(0)),
          static_cast<int>(indices.size(1)),
          static_cast<int>(mask.size(1))};
}

/// Those of standard experts: the hidden units of all of them side by side are the columns, of
/// which each expert has its own, with gates of 1.
template <typename T>
GateTables<T> own_column_tables(const at::Tensor& indices, const at::Tensor& weights,
                                int64_t columns) {
  return {indices.data_ptr<int64_t>(),
          weights.data_ptr<T>(),
          nullptr,
          nullptr,
          static_cast<int>(weights.size(1)),
          static_cast<int>(indices.size(1)),
          static_cast<int>(columns)};
}

}  // namespace cdsp
