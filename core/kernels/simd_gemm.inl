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

// How the factors lie in memory. Rows of A are a distance apart, or neighbours (a_row is 1: A is
// transposed), or stand where `index` says; so may A's columns where it is transposed, and B's rows
// beside an A that is.
enum class Factors { kStrided, kTransposed, kListedRows, kListedColumns, kListedRight };

// A value as a type, to choose a template by.
template <Factors kFactors>
struct Form {
  static constexpr Factors value = kFactors;
};

constexpr bool is_transposed(Factors factors) {
  return factors != Factors::kStrided && factors != Factors::kListedRows;
}

// A from its row i on, and what lists it.
template <Factors kFactors, typename T>
inline const T* left_from(const GemmShape& tile, const T* a, int64_t i) {
  return kFactors == Factors::kListedRows ? a : a + i * tile.a_row;
}
template <Factors kFactors>
inline const int64_t* index_from(const int64_t* index, int64_t i) {
  return kFactors == Factors::kListedRows ? index + i : index;
}

template <typename T, int kBytes, int kRows, int kVectors, Factors kFactors>
inline void gemm_block(const GemmShape& tile, const int64_t* __restrict index,
                       const T* __restrict a, const T* __restrict b, const T* addend, T* c) {
  using Vector = typename Register<T, kBytes>::type;
  constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));
  constexpr bool kIsTransposed = is_transposed(kFactors);
  // A Vector may alias anything: what is not a local would be read again after each store.
  const int64_t k = tile.k, a_row = kIsTransposed ? 1 : tile.a_row, a_column = tile.a_column;
  const int64_t b_row = tile.b_row, c_row = tile.c_row, d_row = tile.d_row;
  // A pointer for every four rows: with one for all, the distances of 16 rows fill more registers
  // than there are. GCC would put them together again if it saw through them.
  constexpr int kRowsOfPointer = kFactors == Factors::kListedRows ? 1 : kIsTransposed ? kRows : 4;
  constexpr int kPointers = (kRows + kRowsOfPointer - 1) / kRowsOfPointer;
  const T* rows[kPointers];
  CDSP_UNROLLED
  for (int i = 0; i < kPointers; ++i) {
    rows[i] =
        kFactors == Factors::kListedRows ? a + index[i] * a_row : a + kRowsOfPointer * i * a_row;
    asm("" : "+r"(rows[i]));
  }
  Vector sum[kRows][kVectors] = {};
  for (int64_t p = 0; p < k; ++p) {
    if constexpr (kFactors == Factors::kListedColumns) rows[0] = a + index[p] * a_column;
    const T* b_at = b + (kFactors == Factors::kListedRight ? index[p] : p) * b_row;
    Vector row[kVectors];
    CDSP_UNROLLED
    for (int j = 0; j < kVectors; ++j) row[j] = *reinterpret_cast<const Vector*>(b_at + j * kLanes);
    CDSP_UNROLLED
    for (int i = 0; i < kRows; ++i) {
      const T factor = rows[i / kRowsOfPointer][i % kRowsOfPointer * a_row];
      CDSP_UNROLLED
      for (int j = 0; j < kVectors; ++j) sum[i][j] += factor * row[j];
    }
    if constexpr (kFactors != Factors::kListedColumns) {
      CDSP_UNROLLED
      for (int i = 0; i < kPointers; ++i) rows[i] += a_column;
    }
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
template <typename T, int kBytes, int kRows, int kVectors, Factors kFactors>
inline void gemm_rows(const GemmShape& tile, int64_t m, const int64_t* index, const T* a,
                      const T* b, const T* addend, T* c) {
  int64_t i = 0;
  for (; i + kRows <= m; i += kRows) {
    gemm_block<T, kBytes, kRows, kVectors, kFactors>(
        tile, index_from<kFactors>(index, i), left_from<kFactors>(tile, a, i), b,
        moved(addend, i * tile.d_row), c + i * tile.c_row);
  }
  if constexpr (kRows > 1) {
    constexpr int kFewer = kRows > 4 ? 4 : kRows / 2;
    gemm_rows<T, kBytes, kFewer, kVectors, kFactors>(
        tile, m - i, index_from<kFactors>(index, i), left_from<kFactors>(tile, a, i), b,
        moved(addend, i * tile.d_row), c + i * tile.c_row);
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
template <typename T, int kBytes, int kVectors, Factors kFactors>
inline void gemm_panels(const GemmShape& tile, int64_t n, const T* a, const T* b, const T* addend,
                        T* c) {
  constexpr int64_t kWidth = kBytes / static_cast<int64_t>(sizeof(T)) * kVectors;
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth)
    gemm_rows<T, kBytes, gemm_block_rows(kVectors), kVectors, kFactors>(
        tile, tile.m, tile.index, a, b + j, moved(addend, j), c + j);
  if (j == n) return;
  if constexpr (kVectors > 1) {
    gemm_panels<T, kBytes, kVectors - 1, kFactors>(tile, n - j, a, b + j, moved(addend, j), c + j);
  } else if constexpr (kBytes > static_cast<int>(sizeof(T))) {
    gemm_panels<T, kBytes / 2, 1, kFactors>(tile, n - j, a, b + j, moved(addend, j), c + j);
  }
}

template <typename T>
void gemm(const GemmShape& shape, const T* a, const T* b, const T* addend, T* c) {
  constexpr int kVectors = CDSP_SIMD_REGISTERS >= 32 ? 4 : 2;
  const auto panels = [&](auto factors) {
    gemm_panels<T, CDSP_SIMD_BYTES, kVectors, decltype(factors)::value>(shape, shape.n, a, b,
                                                                        addend, c);
  };
  switch (shape.listed) {
    case Listed::kNothing:
      if (shape.a_row != 1) return panels(Form<Factors::kStrided>());
      return panels(Form<Factors::kTransposed>());
    case Listed::kLeftRows:
      return panels(Form<Factors::kListedRows>());
    case Listed::kLeftColumns:
      return panels(Form<Factors::kListedColumns>());
    case Listed::kRightRows:
      return panels(Form<Factors::kListedRight>());
  }
}

}  // namespace CDSP_SIMD
}  // namespace cdsp
