// Row-major matrix products on tiles, by the BLAS that LibTorch itself is linked with (MKL or
// OpenBLAS). Called from inside a parallel loop, where the BLAS uses the calling thread only.
#pragma once

#include <cstdint>

extern "C" {
void sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
            const float* beta, float* c, const int* ldc);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
            const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
            const double* beta, double* c, const int* ldc);
}

namespace cdsp {

enum class Op { kPlain, kTransposed };

namespace detail {
inline void fortran_gemm(char ta, char tb, int m, int n, int k, float alpha, const float* a,
                         int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  sgemm_(&ta, &tb, &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, c, &ldc);
}
inline void fortran_gemm(char ta, char tb, int m, int n, int k, double alpha, const double* a,
                         int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  dgemm_(&ta, &tb, &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, c, &ldc);
}
}  // namespace detail

/// C[m, n] = op(A)[m, k] op(B)[k, n] + beta C, all row-major; lda, ldb, ldc are the row lengths in
/// memory.
template <typename T>
void gemm(Op op_a, Op op_b, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  // Column-major BLAS sees the transposes: C^T = op(B)^T op(A)^T.
  const auto letter = [](Op op) { return op == Op::kPlain ? 'N' : 'T'; };
  const auto narrow = [](int64_t value) { return static_cast<int>(value); };
  detail::fortran_gemm(letter(op_b), letter(op_a), narrow(n), narrow(m), narrow(k), T(1), b,
                       narrow(ldb), a, narrow(lda), beta, c, narrow(ldc));
}

}  // namespace cdsp
