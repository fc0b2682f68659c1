// The source of every variant in simd_loops.h. The including file sets the instruction set and the
// namespace CDSP_SIMD, after all other headers: nothing may be included here, or the linker could
// keep a standard library function compiled for a processor that is not there.

namespace cdsp {
namespace CDSP_SIMD {

// The functions of the vector maths library (libmvec, part of glibc) that loops below turn into.
inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }
inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }

template <typename T>
inline T sigmoid(T z) {
  return T(1) / (T(1) + exponential(-z));
}

// Sums over rows, written out: a reduction by `omp simd` adds its lanes up one by one, through
// memory, which takes longer than the row.

// From any address. A copy, for a template's argument forgets how a type is aligned (clang), and
// reading through a pointer to it would then fail.
template <typename Vector, typename T>
inline Vector load(const T* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

// What an array, given as a reference, is made of: registers, or numbers.
template <typename Array>
struct Element;
template <typename Number, int kSize>
struct Element<Number (&)[kSize]> {
  typedef Number type;
};

// The sum of a register's numbers, halves added to halves.
template <typename T, int kBytes>
inline T lane_sum(const typename Register<T, kBytes>::type& lanes) {
  if constexpr (kBytes == 2 * static_cast<int>(sizeof(T))) {
    return lanes[0] + lanes[1];
  } else {
    using Half = typename Register<T, kBytes / 2>::type;
    const auto* half = reinterpret_cast<const Half*>(&lanes);
    return lane_sum<T, kBytes / 2>(half[0] + half[1]);
  }
}

// totals[j] = the sum over i in [0, n) of the terms that add(i, sums) adds to sums[j], a register
// of terms at a time, the last ones alone.
template <int kSums, typename T, typename Add>
inline void sum_terms(int64_t n, T* totals, const Add& add) {
  typedef T Vector __attribute__((vector_size(CDSP_SIMD_BYTES)));
  constexpr int64_t kLanes = CDSP_SIMD_BYTES / static_cast<int64_t>(sizeof(T));
  Vector sums[kSums] = {};
  T rest[kSums] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) add(i, sums);
  for (; i < n; ++i) add(i, rest);
  for (int j = 0; j < kSums; ++j) totals[j] = lane_sum<T, CDSP_SIMD_BYTES>(sums[j]) + rest[j];
}

template <typename T>
void silu(int64_t n, const T* __restrict z, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = z[i] * sigmoid(z[i]);
}

template <typename T>
void gated_silu(int64_t n, const T* __restrict z, const T* __restrict gate, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = z[i] * sigmoid(z[i]) * gate[i];
}

template <typename T>
void silu_backward(int64_t n, const T* __restrict z, const T* __restrict upstream,
                   T* __restrict hidden, T* __restrict d_z) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T s = sigmoid(z[i]);
    const T value = z[i] * s;
    hidden[i] = value;
    d_z[i] = upstream[i] * (s + value * (T(1) - s));
  }
}

template <typename T>
T scaled_silu_backward(int64_t n, T factor, const T* __restrict z, T* __restrict hidden,
                       T* __restrict d_z) {
  constexpr int kLanes = CDSP_SIMD_BYTES / static_cast<int>(sizeof(T));
  using Vector = typename Register<T, CDSP_SIMD_BYTES>::type;
  alignas(CDSP_SIMD_BYTES) T inner[kLanes] = {};
  for (int64_t begin = 0; begin < n; begin += kLanes) {
    const int count = n - begin < kLanes ? static_cast<int>(n - begin) : kLanes;
#pragma omp simd
    for (int l = 0; l < count; ++l) {
      const T number = z[begin + l], s = sigmoid(number), value = number * s;
      hidden[begin + l] = factor * value;
      inner[l] += d_z[begin + l] * value;
      d_z[begin + l] *= factor * (s + value * (T(1) - s));
    }
  }
  return lane_sum<T, CDSP_SIMD_BYTES>(load<Vector>(inner));
}

#if defined(__clang__) || __GNUC__ >= 12
#define CDSP_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else  // GCC's own name for it; both count on through a's numbers and b's
#define CDSP_SHUFFLE(a, b, ...) \
  __builtin_shuffle(a, b, __extension__(__typeof__(a < b)){__VA_ARGS__})
#endif

// Four rows of four numbers: neighbouring rows are interleaved, then the two results.
template <typename T>
inline void transpose_four(const T* from, int64_t from_row, T* to, int64_t to_row) {
  using Four = typename Register<T, 4 * static_cast<int>(sizeof(T))>::type;
  const Four a = *reinterpret_cast<const Four*>(from);
  const Four b = *reinterpret_cast<const Four*>(from + from_row);
  const Four c = *reinterpret_cast<const Four*>(from + 2 * from_row);
  const Four d = *reinterpret_cast<const Four*>(from + 3 * from_row);
  const Four ab_left = CDSP_SHUFFLE(a, b, 0, 4, 1, 5), ab_right = CDSP_SHUFFLE(a, b, 2, 6, 3, 7);
  const Four cd_left = CDSP_SHUFFLE(c, d, 0, 4, 1, 5), cd_right = CDSP_SHUFFLE(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Four*>(to) = CDSP_SHUFFLE(ab_left, cd_left, 0, 1, 4, 5);
  *reinterpret_cast<Four*>(to + to_row) = CDSP_SHUFFLE(ab_left, cd_left, 2, 3, 6, 7);
  *reinterpret_cast<Four*>(to + 2 * to_row) = CDSP_SHUFFLE(ab_right, cd_right, 0, 1, 4, 5);
  *reinterpret_cast<Four*>(to + 3 * to_row) = CDSP_SHUFFLE(ab_right, cd_right, 2, 3, 6, 7);
}

// One number from each of two registers in turn, from their first halves and from their second.
template <typename Vector, int... kLane>
inline void interleave(const Vector& a, const Vector& b, std::integer_sequence<int, kLane...>,
                       Vector& first, Vector& second) {
  constexpr int kLanes = sizeof...(kLane);
  first = CDSP_SHUFFLE(a, b, (kLane / 2 + kLane % 2 * kLanes)...);
  second = CDSP_SHUFFLE(a, b, ((kLanes + kLane) / 2 + kLane % 2 * kLanes)...);
}
#undef CDSP_SHUFFLE

// As many rows of as many numbers as a register has lanes: each time rows of the first half are
// interleaved with those of the second, one bit of a number's place goes from its row to its
// column.
template <typename T, int kBytes>
inline void transpose_square(const T* __restrict from, int64_t from_row, T* __restrict to,
                             int64_t to_row) {
  typedef T Vector __attribute__((vector_size(kBytes)));
  constexpr int kLanes = kBytes / static_cast<int>(sizeof(T));
  if constexpr (kLanes == 4) return transpose_four(from, from_row, to, to_row);
  Vector rows[kLanes];
  CDSP_UNROLLED
  for (int i = 0; i < kLanes; ++i) __builtin_memcpy(&rows[i], from + i * from_row, kBytes);
  CDSP_UNROLLED
  for (int done = 1; done < kLanes; done *= 2) {
    Vector mixed[kLanes];
    CDSP_UNROLLED
    for (int i = 0; i < kLanes / 2; ++i) {
      interleave(rows[i], rows[i + kLanes / 2], std::make_integer_sequence<int, kLanes>(),
                 mixed[2 * i], mixed[2 * i + 1]);
    }
    CDSP_UNROLLED
    for (int i = 0; i < kLanes; ++i) rows[i] = mixed[i];
  }
  CDSP_UNROLLED
  for (int i = 0; i < kLanes; ++i) __builtin_memcpy(to + i * to_row, &rows[i], kBytes);
}

// Whole squares; what is left at the right and below goes to smaller ones, at last to single
// numbers.
template <typename T, int kBytes>
inline void transpose_by(int64_t rows, int64_t columns, const T* __restrict from, int64_t from_row,
                         T* __restrict to, int64_t to_row) {
  constexpr int64_t kLanes = kBytes / static_cast<int64_t>(sizeof(T));
  if constexpr (kLanes == 1) {
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t r = 0; r < rows; ++r) to[c * to_row + r] = from[r * from_row + c];
    }
  } else {
    const int64_t whole_rows = rows / kLanes * kLanes, whole_columns = columns / kLanes * kLanes;
    for (int64_t c = 0; c < whole_columns; c += kLanes) {
      for (int64_t r = 0; r < whole_rows; r += kLanes)
        transpose_square<T, kBytes>(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
    }
    if (whole_columns < columns) {
      transpose_by<T, kBytes / 2>(rows, columns - whole_columns, from + whole_columns, from_row,
                                  to + whole_columns * to_row, to_row);
    }
    if (whole_rows < rows) {
      transpose_by<T, kBytes / 2>(rows - whole_rows, whole_columns, from + whole_rows * from_row,
                                  from_row, to + whole_rows, to_row);
    }
  }
}

template <typename T>
void transpose(int64_t rows, int64_t columns, const T* __restrict from, int64_t from_row,
               T* __restrict to, int64_t to_row) {
  // AVX-512 takes numbers from anywhere in two registers; before it, halves of a register are
  // apart.
  constexpr int kFour = 4 * static_cast<int>(sizeof(T));
  constexpr int kBytes = CDSP_SIMD_BYTES == 64 || CDSP_SIMD_BYTES < kFour ? CDSP_SIMD_BYTES : kFour;
  transpose_by<T, kBytes>(rows, columns, from, from_row, to, to_row);
}

template <typename T>
void multiply(int64_t n, const T* a, const T* __restrict b, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

// As many registers of the sum at once as there are.
template <typename T, int kBytes, int kVectors>
inline int64_t sum_rows_by(int64_t begin, int64_t n, int64_t count, const T* base, const T* scales,
                           const T* const* rows, T* out) {
  using Vector = typename Register<T, kBytes>::type;
  constexpr int64_t kLanes = kBytes / static_cast<int64_t>(sizeof(T));
  for (; begin + kVectors * kLanes <= n; begin += kVectors * kLanes) {
    Vector sum[kVectors] = {};
    for (int64_t i = 0; i < count; ++i) {
      const T factor = scales == nullptr ? T(1) : scales[i];
      for (int j = 0; j < kVectors; ++j)
        sum[j] += factor * *reinterpret_cast<const Vector*>(rows[i] + begin + j * kLanes);
    }
    for (int j = 0; j < kVectors; ++j) {
      const int64_t at = begin + j * kLanes;
      if (base != nullptr) sum[j] += *reinterpret_cast<const Vector*>(base + at);
      *reinterpret_cast<Vector*>(out + at) = sum[j];
    }
  }
  return begin;
}

template <typename T>
void sum_rows(int64_t n, int64_t count, const T* base, const T* scales, const T* const* rows,
              T* out) {
  int64_t done = sum_rows_by<T, CDSP_SIMD_BYTES, 4>(0, n, count, base, scales, rows, out);
  done = sum_rows_by<T, CDSP_SIMD_BYTES, 1>(done, n, count, base, scales, rows, out);
  sum_rows_by<T, static_cast<int>(sizeof(T)), 1>(done, n, count, base, scales, rows, out);
}

template <typename T>
void add_scaled(int64_t n, T factor, const T* __restrict a, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] += factor * a[i];
}

template <typename T>
void scale(int64_t n, T factor, const T* a, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = factor * a[i];
}

template <typename T>
void scale_rows(int64_t rows, int64_t n, const T* __restrict scales, T* __restrict table,
                int64_t row) {
  for (int64_t i = 0; i < rows; ++i) {
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) table[i * row + c] *= scales[i];
  }
}

template <typename T>
T dot(int64_t n, const T* __restrict a, const T* __restrict b) {
  T sum[1];
  sum_terms<1>(n, sum, [&](int64_t i, auto& sums) {
    using Vector = typename Element<decltype(sums)>::type;
    sums[0] += load<Vector>(a + i) * load<Vector>(b + i);
  });
  return sum[0];
}

// kRows rows with kRows others: so many sums are on their way at once that none waits for itself.
template <typename T, int kRows>
inline void gramian_block(int64_t n, const T* a, const T* b, int64_t row, int64_t rows, T* products,
                          int64_t i, int64_t j) {
  typedef T Vector __attribute__((vector_size(CDSP_SIMD_BYTES)));
  constexpr int64_t kLanes = CDSP_SIMD_BYTES / static_cast<int64_t>(sizeof(T));
  Vector sum[kRows][kRows] = {};
  int64_t p = 0;
  for (; p + kLanes <= n; p += kLanes) {
    Vector right[kRows];
    CDSP_UNROLLED
    for (int c = 0; c < kRows; ++c) __builtin_memcpy(&right[c], b + c * row + p, CDSP_SIMD_BYTES);
    CDSP_UNROLLED
    for (int r = 0; r < kRows; ++r) {
      Vector left;
      __builtin_memcpy(&left, a + r * row + p, CDSP_SIMD_BYTES);
      CDSP_UNROLLED
      for (int c = 0; c < kRows; ++c) sum[r][c] += left * right[c];
    }
  }
  CDSP_UNROLLED
  for (int r = 0; r < kRows; ++r) {
    CDSP_UNROLLED
    for (int c = 0; c < kRows; ++c) {
      T rest = 0;
      for (int64_t q = p; q < n; ++q) rest += a[r * row + q] * b[c * row + q];
      const T total = lane_sum<T, CDSP_SIMD_BYTES>(sum[r][c]) + rest;
      products[(i + r) * rows + j + c] = products[(j + c) * rows + i + r] = total;
    }
  }
}

template <typename T>
void gramian(int64_t rows, int64_t n, const T* table, int64_t row, T* products) {
  constexpr int kRows = CDSP_SIMD_REGISTERS >= 32 ? 4 : 2;
  const int64_t whole = rows / kRows * kRows;
  for (int64_t i = 0; i < whole; i += kRows) {
    for (int64_t j = 0; j <= i; j += kRows)
      gramian_block<T, kRows>(n, table + i * row, table + j * row, row, rows, products, i, j);
  }
  for (int64_t i = whole; i < rows; ++i) {
    for (int64_t j = 0; j <= i; ++j)
      gramian_block<T, 1>(n, table + i * row, table + j * row, row, rows, products, i, j);
  }
}

template <typename T>
T rms_norm(int64_t d, T epsilon, const T* __restrict x, const T* __restrict weight,
           T* __restrict y) {
  const T r = T(1) / square_root(dot(d, x, x) / static_cast<T>(d) + epsilon);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) y[i] = x[i] * r * weight[i];
  return r;
}

template <typename T>
void rms_norm_backward(int64_t d, T epsilon, const T* __restrict x, const T* __restrict weight,
                       const T* __restrict upstream, const T* addend, T* d_x,
                       T* __restrict d_weight) {
  T sum[2];  // of squares; of the upstream gradient times the result
  sum_terms<2>(d, sum, [&](int64_t i, auto& sums) {
    using Vector = typename Element<decltype(sums)>::type;
    const Vector number = load<Vector>(x + i);
    sums[0] += number * number;
    sums[1] += load<Vector>(upstream + i) * load<Vector>(weight + i) * number;
  });
  const T r = T(1) / square_root(sum[0] / static_cast<T>(d) + epsilon);
  const T pull = sum[1] * r * r * r / static_cast<T>(d);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) {
    const T slope = upstream[i] * weight[i] * r - x[i] * pull;
    d_x[i] = addend != nullptr ? addend[i] + slope : slope;
    d_weight[i] += upstream[i] * x[i] * r;
  }
}

template <typename T>
T layer_norm(int64_t n, T epsilon, const T* __restrict x, T* __restrict y) {
  T sum[1], square[1];
  sum_terms<1>(n, sum, [&](int64_t i, auto& sums) {
    sums[0] += load<typename Element<decltype(sums)>::type>(x + i);
  });
  const T mean = sum[0] / static_cast<T>(n);
  sum_terms<1>(n, square, [&](int64_t i, auto& sums) {
    const auto apart = load<typename Element<decltype(sums)>::type>(x + i) - mean;
    sums[0] += apart * apart;
  });
  const T r = T(1) / square_root(square[0] / static_cast<T>(n) + epsilon);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * r;
  return r;
}

template <typename T>
void layer_norm_backward(int64_t n, T r, const T* __restrict y, const T* __restrict upstream,
                         const T* addend, T* d_x) {
  T sum[2];  // of the upstream gradient; of it times the result
  sum_terms<2>(n, sum, [&](int64_t i, auto& sums) {
    using Vector = typename Element<decltype(sums)>::type;
    const Vector slope = load<Vector>(upstream + i);
    sums[0] += slope;
    sums[1] += slope * load<Vector>(y + i);
  });
  const T mean = sum[0] / static_cast<T>(n), pull = sum[1] / static_cast<T>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T slope = (upstream[i] - mean - y[i] * pull) * r;
    d_x[i] = addend != nullptr ? addend[i] + slope : slope;
  }
}

template <typename T>
void rotate(int64_t heads, int64_t d_head, const T* __restrict turns, T sign, T* __restrict row) {
  for (int64_t head = 0; head < heads; ++head) {
    T* __restrict x = row + head * d_head;
#pragma omp simd
    for (int64_t i = 0; i < d_head; i += 2) {
      const T even = x[i], odd = x[i + 1], cosine = turns[i], sine = sign * turns[i + 1];
      x[i] = even * cosine - odd * sine;
      x[i + 1] = even * sine + odd * cosine;
    }
  }
}

// One number a query, in as many registers as that takes. Sums and maxima over the keys then need
// no step across lanes.
template <typename T>
struct Lanes {
  using Vector = typename Register<T, CDSP_SIMD_BYTES>::type;
  static constexpr int kWidth = CDSP_SIMD_BYTES / static_cast<int>(sizeof(T));
  static constexpr int kVectors = static_cast<int>(kQueryLanes) / kWidth;
  Vector vector[kVectors];

  static Lanes load(const T* from) {
    Lanes lanes;
    for (int j = 0; j < kVectors; ++j)
      lanes.vector[j] = *reinterpret_cast<const Vector*>(from + j * kWidth);
    return lanes;
  }
  void store(T* to) const {
    for (int j = 0; j < kVectors; ++j) *reinterpret_cast<Vector*>(to + j * kWidth) = vector[j];
  }
};

// Up to kQueryLanes rows of n numbers -> columns [n, lanes]; lanes without a row repeat the first.
template <typename T>
inline void lay_in_lanes(int64_t rows, int64_t n, const T* from, int64_t from_row, T* columns) {
  transpose(rows, n, from, from_row, columns, kQueryLanes);
  for (int64_t e = 0; e < n; ++e) {
    for (int64_t l = rows; l < kQueryLanes; ++l) columns[e * kQueryLanes + l] = from[e];
  }
}

// A row a lane. A logit that is no number makes its whole row so.
template <typename T>
void softmax(int64_t rows, int64_t n, const T* in, int64_t in_row, T* columns, T* out) {
  for (int64_t begin = 0; begin < rows; begin += kQueryLanes) {
    const int64_t count = rows - begin < kQueryLanes ? rows - begin : kQueryLanes;
    lay_in_lanes(count, n, in + begin * in_row, in_row, columns);
    Lanes<T> most = Lanes<T>::load(columns), sum = {};
    for (int64_t e = 1; e < n; ++e) {
      const Lanes<T> score = Lanes<T>::load(columns + e * kQueryLanes);
      for (int j = 0; j < Lanes<T>::kVectors; ++j)
        most.vector[j] = score.vector[j] > most.vector[j] ? score.vector[j] : most.vector[j];
    }
    T largest[kQueryLanes];
    most.store(largest);
    for (int64_t e = 0; e < n; ++e) {
      T* __restrict at = columns + e * kQueryLanes;
#pragma omp simd
      for (int l = 0; l < static_cast<int>(kQueryLanes); ++l)
        at[l] = exponential(at[l] - largest[l]);
      const Lanes<T> share = Lanes<T>::load(at);
      for (int j = 0; j < Lanes<T>::kVectors; ++j) sum.vector[j] += share.vector[j];
    }
    for (int j = 0; j < Lanes<T>::kVectors; ++j) sum.vector[j] = T(1) / sum.vector[j];
    for (int64_t e = 0; e < n; ++e) {
      Lanes<T> share = Lanes<T>::load(columns + e * kQueryLanes);
      for (int j = 0; j < Lanes<T>::kVectors; ++j) share.vector[j] *= sum.vector[j];
      share.store(columns + e * kQueryLanes);
    }
    transpose(n, count, static_cast<const T*>(columns), kQueryLanes, out + begin * n, n);
  }
}

// Puts `instead` [lanes] where a query does not see a key. The first key counts as seen by all, be
// they padding in front of the first query: such lanes hold numbers that nobody reads.
template <typename T>
inline void hide_unseen(int64_t keys, int64_t first, int64_t row, const T* instead, T* scores) {
  for (int64_t key = first < 0 ? 1 : first + 1; key < keys; ++key) {
    T* at = scores + key * row;
    const int seen_from = static_cast<int>(key - first);
#pragma omp simd
    for (int l = 0; l < static_cast<int>(kQueryLanes); ++l)
      at[l] = l >= seen_from ? at[l] : instead[l];
  }
}

// Unseen keys take part with the score of the first key, which every query sees, so that no
// register is left half empty and no exponential overflows; they are struck out afterwards.
template <typename T>
inline void causal_exponentials(int64_t keys, int64_t first, int64_t row, T factor,
                                const T* __restrict largest, T* __restrict scores) {
  for (int64_t key = 0; key < keys; ++key) {
    T* __restrict at = scores + key * row;
#pragma omp simd
    for (int l = 0; l < static_cast<int>(kQueryLanes); ++l)
      at[l] = exponential((at[l] - largest[l]) * factor);
  }
  const T zeros[kQueryLanes] = {};
  hide_unseen(keys, first, row, zeros, scores);
}

template <typename T>
void causal_softmax(int64_t keys, int64_t first, int64_t row, T factor, T* scores, T* largest,
                    T* inverse) {
  T of_first_key[kQueryLanes];
  Lanes<T>::load(scores).store(of_first_key);
  hide_unseen(keys, first, row, of_first_key, scores);
  Lanes<T> most = Lanes<T>::load(scores);
  for (int64_t key = 1; key < keys; ++key) {
    const Lanes<T> score = Lanes<T>::load(scores + key * row);
    for (int j = 0; j < Lanes<T>::kVectors; ++j)
      most.vector[j] = score.vector[j] > most.vector[j] ? score.vector[j] : most.vector[j];
  }
  most.store(largest);
  causal_exponentials<T>(keys, first, row, factor, largest, scores);
  Lanes<T> sum = {};
  for (int64_t key = 0; key < keys; ++key) {
    const Lanes<T> share = Lanes<T>::load(scores + key * row);
    for (int j = 0; j < Lanes<T>::kVectors; ++j) sum.vector[j] += share.vector[j];
  }
  for (int j = 0; j < Lanes<T>::kVectors; ++j) sum.vector[j] = T(1) / sum.vector[j];
  sum.store(inverse);
}

template <typename T>
void causal_softmax_backward(int64_t keys, int64_t first, int64_t row, T factor, const T* largest,
                             const T* inverse, T* scores, T* d) {
  T of_first_key[kQueryLanes];
  Lanes<T>::load(scores).store(of_first_key);
  hide_unseen(keys, first, row, of_first_key, scores);
  causal_exponentials<T>(keys, first, row, factor, largest, scores);
  const Lanes<T> scale_of = Lanes<T>::load(inverse);
  Lanes<T> expected = {};
  for (int64_t key = 0; key < keys; ++key) {
    Lanes<T> p = Lanes<T>::load(scores + key * row);
    const Lanes<T> slope = Lanes<T>::load(d + key * row);
    for (int j = 0; j < Lanes<T>::kVectors; ++j) {
      p.vector[j] *= scale_of.vector[j];
      expected.vector[j] += p.vector[j] * slope.vector[j];
    }
    p.store(scores + key * row);
  }
  for (int64_t key = 0; key < keys; ++key) {
    const Lanes<T> p = Lanes<T>::load(scores + key * row);
    Lanes<T> slope = Lanes<T>::load(d + key * row);
    for (int j = 0; j < Lanes<T>::kVectors; ++j)
      slope.vector[j] = p.vector[j] * (slope.vector[j] - expected.vector[j]) * factor;
    slope.store(d + key * row);
  }
}

// One token, by insertion into the k best so far: a later equal logit never overtakes an earlier
// one. A logit that is no number has no place in the order; it must show, wherever it stands.
template <typename T>
void top_k_of_row(int64_t n, int64_t k, const T* logits, int64_t* indices, T* chosen) {
  int64_t filled = 0;
  bool has_nan = false;
  for (int64_t e = 0; e < n; ++e) {
    has_nan = has_nan || logits[e] != logits[e];
    int64_t place = filled;
    while (place > 0 && logits[e] > logits[indices[place - 1]]) --place;
    if (place >= k) continue;
    const int64_t last = filled < k ? filled : k - 1;
    for (int64_t i = last; i > place; --i) indices[i] = indices[i - 1];
    indices[place] = e;
    if (filled < k) ++filled;
  }
  T sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    chosen[i] = exponential(logits[indices[i]] - logits[indices[0]]);
    sum += chosen[i];
  }
  for (int64_t i = 0; i < k; ++i)
    chosen[i] = has_nan ? static_cast<T>(__builtin_nan("")) : chosen[i] / sum;
}

// A token a lane: k times the largest of what is left; what is taken becomes minus infinity. Tokens
// with a logit that is no number, or with nothing but minus infinity left, go one by one.
template <typename T>
void top_k(int64_t tokens, int64_t n, int64_t k, const T* logits, int64_t row, T* scratch,
           int64_t* indices, T* chosen) {
  constexpr int kLanes = static_cast<int>(kQueryLanes);
  constexpr T kTaken = -static_cast<T>(__builtin_inf());
  T* __restrict columns = scratch;               // [n, lanes]
  T* __restrict weights = scratch + n * kLanes;  // [k, lanes]
  for (int64_t begin = 0; begin < tokens; begin += kLanes) {
    const int count = tokens - begin < kLanes ? static_cast<int>(tokens - begin) : kLanes;
    lay_in_lanes(count, n, logits + begin * row, row, columns);
    T is_odd[kLanes] = {}, sum[kLanes] = {};
    for (int64_t e = 0; e < n; ++e) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) {
        const T v = columns[e * kLanes + l];
        is_odd[l] = v == v ? is_odd[l] : T(1);
      }
    }
    for (int64_t slot = 0; slot < k; ++slot) {
      T* __restrict most = weights + slot * kLanes;
      T at[kLanes];  // the expert, in the loop's own type
      for (int l = 0; l < kLanes; ++l) {
        most[l] = kTaken;
        at[l] = T(-1);
      }
      for (int64_t e = 0; e < n; ++e) {
        const T expert = static_cast<T>(e);
#pragma omp simd
        for (int l = 0; l < kLanes; ++l) {
          const T v = columns[e * kLanes + l];
          at[l] = v > most[l] ? expert : at[l];
          most[l] = v > most[l] ? v : most[l];
        }
      }
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) is_odd[l] = at[l] < T(0) ? T(1) : is_odd[l];
      for (int l = 0; l < count; ++l) {
        const int64_t expert = at[l] < T(0) ? 0 : static_cast<int64_t>(at[l]);
        indices[(begin + l) * k + slot] = expert;
        columns[expert * kLanes + l] = kTaken;
      }
    }
    for (int64_t slot = k - 1; slot >= 0; --slot) {
      T* most = weights + slot * kLanes;
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) {
        most[l] = exponential(most[l] - weights[l]);
        sum[l] += most[l];
      }
    }
    for (int l = 0; l < count; ++l) {
      const int64_t first = (begin + l) * k;
      for (int64_t slot = 0; slot < k; ++slot)
        chosen[first + slot] = weights[slot * kLanes + l] / sum[l];
      if (is_odd[l] != T(0))
        top_k_of_row(n, k, logits + (begin + l) * row, indices + first, chosen + first);
    }
  }
}

template <typename T>
void adamw(int64_t n, const AdamWStep& step, const T* __restrict gradient, T* __restrict parameter,
           T* __restrict moment1, T* __restrict moment2) {
  const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
  const T rest1 = static_cast<T>(step.one_minus_beta1);
  const T rest2 = static_cast<T>(step.one_minus_beta2);
  const T epsilon = static_cast<T>(step.epsilon), rate = static_cast<T>(step.rate);
  const T keep = static_cast<T>(step.keep);
  const T root_scale = static_cast<T>(step.inverse_root_correction2);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T g = gradient[i];
    const T m = beta1 * moment1[i] + rest1 * g;
    const T v = beta2 * moment2[i] + rest2 * g * g;
    moment1[i] = m;
    moment2[i] = v;
    parameter[i] = parameter[i] * keep - rate * m / (square_root(v) * root_scale + epsilon);
  }
}

template <typename T>
const SimdLoops<T>& table(const char* name) {
  static const SimdLoops<T> loops = {name,
                                     gemm<T>,
                                     silu<T>,
                                     gated_silu<T>,
                                     silu_backward<T>,
                                     scaled_silu_backward<T>,
                                     transpose<T>,
                                     multiply<T>,
                                     sum_rows<T>,
                                     add_scaled<T>,
                                     scale<T>,
                                     scale_rows<T>,
                                     dot<T>,
                                     gramian<T>,
                                     rms_norm<T>,
                                     rms_norm_backward<T>,
                                     layer_norm<T>,
                                     layer_norm_backward<T>,
                                     rotate<T>,
                                     softmax<T>,
                                     causal_softmax<T>,
                                     causal_softmax_backward<T>,
                                     top_k<T>,
                                     adamw<T>};
  return loops;
}

}  // namespace CDSP_SIMD
}  // namespace cdsp

#undef CDSP_UNROLLED
