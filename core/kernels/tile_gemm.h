// Row-major matrix products on tiles for the fused CPU kernels: names for simd_loops' `gemm`.
//
//   C[m, n] = D + op(A)[m, k] B[k, n],    op(A) = A or its transpose
//
// with D nothing (Into::kSet), C itself (Into::kAdd), another matrix, or one row for all.
//
// What the experts multiply stands here and there among all tokens; it is read where it stands, by
// a list of its rows, instead of being copied together first.
//
// For a product with B's transpose, B is transposed once (it is a weight) and used for many tiles.
#pragma once

#include <cstdint>

#include "kernels/simd_loops.h"

namespace cdsp {

/// The left factor: a tile whose element (i, p) is data[i * row + p * column], with index[i] for i
/// or index[p] for p where it is listed.
template <typename T>
struct LeftFactor {
  const T* data;
  int64_t row, column;
  Listed listed = Listed::kNothing;
  const int64_t* index = nullptr;
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

/// Rows index[0], index[1], ... of a.
template <typename T>
LeftFactor<T> listed(const T* a, int64_t row_length, const int64_t* index) {
  return {a, row_length, 1, Listed::kLeftRows, index};
}

/// The same rows, k of them, read as the transpose [m, k].
template <typename T>
LeftFactor<T> listed_transposed(const T* a, int64_t row_length, const int64_t* index) {
  return {a, 1, row_length, Listed::kLeftColumns, index};
}

enum class Into { kSet, kAdd };

/// What a product is added to: rows of `data`, `row` numbers apart. Null: nothing.
template <typename T>
struct Addend {
  const T* data;
  int64_t row;
};

/// A bias: the same row for all.
template <typename T>
Addend<T> same_row(const T* data) {
  return {data, 0};
}

/// b_row and c_row are the row lengths in memory.
template <typename T>
void tile_gemm(int64_t m, int64_t n, int64_t k, const LeftFactor<T>& a, const T* b, int64_t b_row,
               const Addend<T>& addend, T* c, int64_t c_row) {
  simd_loops<T>().gemm({m, n, k, a.row, a.column, b_row, c_row, addend.row, a.listed, a.index},
                       a.data, b, addend.data, c);
}

template <typename T>
void tile_gemm(int64_t m, int64_t n, int64_t k, const LeftFactor<T>& a, const T* b, int64_t b_row,
               Into into, T* c, int64_t c_row) {
  tile_gemm(m, n, k, a, b, b_row, Addend<T>{into == Into::kAdd ? c : nullptr, c_row}, c, c_row);
}

/// C = A^T B, or added to C, with rows of A [k, m] as they lie and rows index[0], index[1], ... of
/// b.
template <typename T>
void transposed_times_listed(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, const T* b,
                             int64_t b_row, const int64_t* index, Into into, T* c, int64_t c_row) {
  simd_loops<T>().gemm({m, n, k, 1, a_row, b_row, c_row, c_row, Listed::kRightRows, index}, a, b,
                       into == Into::kAdd ? c : nullptr, c);
}

/// to [columns, rows] = from [rows, columns] transposed.
template <typename T>
void transpose(int64_t rows, int64_t columns, const T* from, int64_t from_row, T* to,
               int64_t to_row) {
  simd_loops<T>().transpose(rows, columns, from, from_row, to, to_row);
}

/// Row lengths of tiles that the kernels lay out themselves: whole vector registers of 64 bytes.
template <typename T>
int64_t padded_row(int64_t length) {
  constexpr int64_t kLanes = 64 / static_cast<int64_t>(sizeof(T));
  return (length + kLanes - 1) / kLanes * kLanes;
}

}  // namespace cdsp
