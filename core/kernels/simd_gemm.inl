// C = D + A B on small tiles, register-blocked: the source of every variant's `gemm` in
// simd_loops.h. Included like simd_loops.inl, before it.
//
// A block of C (kRows rows by kVectors vector registers) stays in registers while k runs; each step
// loads one stretch of a row of B and multiplies it by one number of A per row. B is read where it
// lies, in rows, and A through two strides, so that A may be transposed. Nothing is packed: on
// tiles of this size OpenBLAS spent a third of its time on that (docs/performance.md).

// Until the end of simd_loops.inl.
#ifdef __clang__
#define CDSP_UNROLLED _Pragma("clang loop unroll(full)")
#else
#define CDSP_UNROLLED _Pragma("GCC unroll 16")
#endif

namespace cdsp {
namespace CDSP_SIMD {

// A vector register's worth of T, at any address. One number where kBytes is its size.
template <typename T, int kBytes>
struct Register {
  typedef T type __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
};

template <typename T>
inline const T* moved(const T* addend, int64_t numbers) {
  return addend == nullptr ? nullptr : addend + numbers;
}

// kNeighbours: rows of A are neighbours in memory (a_row is 1, A is transposed).
template <typename T, int kBytes, int kRows, int kVectors, bool kNeighbours>
inline void gemm_block(const GemmShape& tile, const T* __restrict a, const T* __restrict b,
                       const T* addend, T* c) {
  using Vector = typename Register<T, kBytes>::type;
  constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));
  // A Vector may alias anything: what is not a local would be read again after each store.
  const int64_t k = tile.k, a_row = kNeighbours ? 1 : tile.a_row, a_column = tile.a_column;
  const int64_t b_row = tile.b_row, c_row = tile.c_row, d_row = tile.d_row;
  // A pointer for every four rows: with one for all, the distances of 16 rows fill more registers
  // than there are. GCC would put them together again if it saw through them.
  constexpr int kPointers = kNeighbours ? 1 : (kRows + 3) / 4;
  const T* rows[kPointers];
  CDSP_UNROLLED
  for (int i = 0; i < kPointers; ++i) {
    rows[i] = a + 4 * i * a_row;
    asm("" : "+r"(rows[i]));
  }
  Vector sum[kRows][kVectors] = {};
  for (int64_t p = 0; p < k; ++p) {
    Vector row[kVectors];
    CDSP_UNROLLED
    for (int j = 0; j < kVectors; ++j)
      row[j] = *reinterpret_cast<const Vector*>(b + p * b_row + j * kLanes);
    CDSP_UNROLLED
    for (int i = 0; i < kRows; ++i) {
      const T factor = kNeighbours ? rows[0][i] : rows[i / 4][i % 4 * a_row];
      CDSP_UNROLLED
      for (int j = 0; j < kVectors; ++j) sum[i][j] += factor * row[j];
    }
    CDSP_UNROLLED
    for (int i = 0; i < kPointers; ++i) rows[i] += a_column;
  }
  // All sums are written by constant index: what a loop indexes GCC keeps in memory.
  if (addend != nullptr) {
    CDSP_UNROLLED
    for (int i = 0; i < kRows; ++i) {
      CDSP_UNROLLED
      for (int j = 0; j < kVectors; ++j)
        sum[i][j] += *reinterpret_cast<const Vector*>(addend + i * d_row + j * kLanes);
    }
  }
  CDSP_UNROLLED
  for (int i = 0; i < kRows; ++i) {
    CDSP_UNROLLED
    for (int j = 0; j < kVectors; ++j)
      *reinterpret_cast<Vector*>(c + i * c_row + j * kLanes) = sum[i][j];
  }
}

// All rows of one panel of columns: full blocks, then blocks of 4, 2 and 1 rows.
template <typename T, int kBytes, int kRows, int kVectors, bool kNeighbours>
inline void gemm_rows(const GemmShape& tile, int64_t m, const T* a, const T* b, const T* addend,
                      T* c) {
  int64_t i = 0;
  for (; i + kRows <= m; i += kRows) {
    gemm_block<T, kBytes, kRows, kVectors, kNeighbours>(
        tile, a + i * tile.a_row, b, moved(addend, i * tile.d_row), c + i * tile.c_row);
  }
  if constexpr (kRows > 1) {
    constexpr int kFewer = kRows > 4 ? 4 : kRows / 2;
    gemm_rows<T, kBytes, kFewer, kVectors, kNeighbours>(
        tile, m - i, a + i * tile.a_row, b, moved(addend, i * tile.d_row), c + i * tile.c_row);
  }
}

// Rows of a block: as many sums as the register file holds beside a row of B and a spare register
// or two.
constexpr int gemm_block_rows(int vectors) {
  constexpr int kRegisters = CDSP_SIMD_REGISTERS;
  if (kRegisters >= 32) return vectors == 1 ? 16 : vectors <= 3 ? 8 : 6;
  return vectors == 1 ? 8 : 6;
}

// Columns in panels of kVectors registers; what is left goes to narrower panels, then to shorter
// vectors, at last to single numbers.
template <typename T, int kBytes, int kVectors, bool kNeighbours>
inline void gemm_panels(const GemmShape& tile, int64_t m, int64_t n, const T* a, const T* b,
                        const T* addend, T* c) {
  constexpr int64_t kWidth = kBytes / static_cast<int64_t>(sizeof(T)) * kVectors;
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth)
    gemm_rows<T, kBytes, gemm_block_rows(kVectors), kVectors, kNeighbours>(tile, m, a, b + j,
                                                                           moved(addend, j), c + j);
  if (j == n) return;
  if constexpr (kVectors > 1) {
    gemm_panels<T, kBytes, kVectors - 1, kNeighbours>(tile, m, n - j, a, b + j, moved(addend, j),
                                                      c + j);
  } else if constexpr (kBytes > static_cast<int>(sizeof(T))) {
    gemm_panels<T, kBytes / 2, 1, kNeighbours>(tile, m, n - j, a, b + j, moved(addend, j), c + j);
  }
}

template <typename T>
void gemm(const GemmShape& shape, const T* a, const T* b, const T* addend, T* c) {
  constexpr int kVectors = CDSP_SIMD_REGISTERS >= 32 ? 4 : 2;
  if (shape.a_row == 1) {
    gemm_panels<T, CDSP_SIMD_BYTES, kVectors, true>(shape, shape.m, shape.n, a, b, addend, c);
  } else {
    gemm_panels<T, CDSP_SIMD_BYTES, kVectors, false>(shape, shape.m, shape.n, a, b, addend, c);
  }
}

}  // namespace CDSP_SIMD
}  // namespace cdsp
