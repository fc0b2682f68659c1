// Row-major matrix products by the BLAS that LibTorch itself is linked with (MKL or OpenBLAS): the
// yardstick of the benchmarks' floor. Called from inside a parallel loop, where the BLAS uses the
// calling thread only.
#pragma once

#include "experiment/step_products.h"

extern "C" {
void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
            const double* beta, double* c, const int* ldc);
}

namespace cdsp {

/// Does `product` once on operands without gaps between their rows.
template <typename T>
void blas_product(const MatrixProduct& product, const T* left, const T* right, T* result) {
  // Column-major BLAS sees the transposes: C^T = B^T A^T.
  const char transposed_left = product.left_transposed ? 'T' : 'N';
  const char transposed_right = product.right_transposed ? 'T' : 'N';
  const auto rows = static_cast<int>(product.rows), columns = static_cast<int>(product.columns),
             inner = static_cast<int>(product.inner);
  const int left_row = product.left_transposed ? rows : inner;
  const int right_row = product.right_transposed ? inner : columns;
  const T one = 1, beta = product.adds ? T(1) : T(0);
  if constexpr (sizeof(T) == sizeof(float)) {
    sgemm_(&transposed_right, &transposed_left, &columns, &rows, &inner, &one, right, &right_row,
           left, &left_row, &beta, result, &columns);
  } else {
    dgemm_(&transposed_right, &transposed_left, &columns, &rows, &inner, &one, right, &right_row,
           left, &left_row, &beta, result, &columns);
  }
}

}  // namespace cdsp
