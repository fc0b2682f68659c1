// Row-major matrix products on tiles for the fused CPU kernels: names for simd_loops' `gemm`.
//
//   C[m, n] = op(A)[m, k] B[k, n]        or C += op(A) B,    op(A) = A or its transpose
//
// For a product with B's transpose, B is transposed once (it is a weight) and used for many tiles.
#pragma once

#include <cstdint>

#include "kernels/simd_loops.h"

namespace cdsp {

/// The left factor: a tile whose element (i, p) is data[i * row + p * column].
template <typename T>
struct LeftFactor {
  const T* data;
  int64_t row, column;
};

template <typename T>
LeftFactor<T> plain(const T* a, int64_t row_length) {
  return {a, row_length, 1};
}

/// a [k, m] in memory, read as its transpose [m, k].
template <typename T>
LeftFactor<T> transposed(const T* a, int64_t row_length) {
  return {a, 1, row_length};
}

enum class Into { kSet, kAdd };

/// b_row and c_row are the row lengths in memory.
template <typename T>
void tile_gemm(int64_t m, int64_t n, int64_t k, const LeftFactor<T>& a, const T* b, int64_t b_row,
               Into into, T* c, int64_t c_row) {
  simd_loops<T>().gemm({m, n, k, a.row, a.column, b_row, c_row, into == Into::kAdd}, a.data, b, c);
}

/// to [columns, rows] = from [rows, columns] transposed.
template <typename T>
void transpose(int64_t rows, int64_t columns, const T* from, int64_t from_row, T* to,
               int64_t to_row) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[c * to_row + r] = from[r * from_row + c];
  }
}

/// Row lengths of tiles that the kernels lay out themselves: whole vector registers of 64 bytes.
template <typename T>
int64_t padded_row(int64_t length) {
  constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(T));
  return (length + kLanes - 1) / kLanes * kLanes;
}

}  // namespace cdsp
