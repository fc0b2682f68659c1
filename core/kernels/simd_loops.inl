// The source of every variant in simd_loops.h. The including file sets the instruction set and the
// namespace CDSP_SIMD, after all other headers: nothing may be included here, or the linker could
// keep a standard library function compiled for a processor that is not there.

namespace cdsp {
namespace CDSP_SIMD {

// The functions of the vector maths library (libmvec, part of glibc) that loops below turn into.
inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }

template <typename T>
inline T sigmoid(T z) {
  return T(1) / (T(1) + exponential(-z));
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
void multiply(int64_t n, const T* __restrict a, const T* __restrict b, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

template <typename T>
void add_scaled(int64_t n, T factor, const T* __restrict a, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] += factor * a[i];
}

template <typename T>
void scale(int64_t n, T factor, const T* __restrict a, T* __restrict out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = factor * a[i];
}

template <typename T>
T dot(int64_t n, const T* __restrict a, const T* __restrict b) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <typename T>
T rms_norm(int64_t d, T epsilon, const T* __restrict x, const T* __restrict weight,
           T* __restrict y) {
  const T r = T(1) / __builtin_sqrt(dot(d, x, x) / static_cast<T>(d) + epsilon);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) y[i] = x[i] * r * weight[i];
  return r;
}

template <typename T>
void rms_norm_backward(int64_t d, const T* __restrict x, const T* __restrict weight, T r,
                       const T* __restrict upstream, T* __restrict d_x, T* __restrict d_weight) {
  T inner = 0;
#pragma omp simd reduction(+ : inner)
  for (int64_t i = 0; i < d; ++i) inner += upstream[i] * weight[i] * x[i];
  const T pull = inner * r * r * r / static_cast<T>(d);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) {
    d_x[i] = upstream[i] * weight[i] * r - x[i] * pull;
    d_weight[i] += upstream[i] * x[i] * r;
  }
}

template <typename T>
void rotate(int64_t d_head, const T* __restrict turns, T sign, const T* __restrict x,
            T* __restrict out) {
  for (int64_t i = 0; i < d_head; i += 2) {
    const T even = x[i], odd = x[i + 1], cosine = turns[i], sine = sign * turns[i + 1];
    out[i] = even * cosine - odd * sine;
    out[i + 1] = even * sine + odd * cosine;
  }
}

template <typename T, int64_t kWidth>
inline void attend_heads(const HeadShape& shape, T factor, const T* __restrict q,
                         const T* __restrict k_columns, const T* __restrict v,
                         T* __restrict probabilities, T* __restrict out) {
  const int64_t positions = shape.positions, d_head = kWidth > 0 ? kWidth : shape.d_head;
  for (int64_t t = 0; t < positions; ++t) {
    const T* __restrict query = q + t * d_head;
    T* __restrict row = probabilities + t * positions;
    T* __restrict mixed = out + t * shape.stride;
    const int64_t seen = t + 1;
    for (int64_t s = 0; s < seen; ++s) row[s] = 0;
    for (int64_t c = 0; c < d_head; ++c)
      add_scaled(seen, query[c] * factor, k_columns + c * positions, row);
    T largest = row[0];
#pragma omp simd reduction(max : largest)
    for (int64_t s = 0; s < seen; ++s) largest = row[s] > largest ? row[s] : largest;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t s = 0; s < seen; ++s) {
      row[s] = exponential(row[s] - largest);
      sum += row[s];
    }
    const T inverse = T(1) / sum;
    for (int64_t c = 0; c < d_head; ++c) mixed[c] = 0;
    for (int64_t s = 0; s < seen; ++s) {
      row[s] *= inverse;
      add_scaled(d_head, row[s], v + s * d_head, mixed);
    }
  }
}

template <typename T, int64_t kWidth>
inline void attend_heads_backward(const HeadShape& shape, T factor, const T* __restrict q,
                                  const T* __restrict k, const T* __restrict v_columns,
                                  const T* __restrict probabilities, const T* __restrict upstream,
                                  T* __restrict d_q, T* __restrict d_k, T* __restrict d_v,
                                  T* __restrict d_row) {
  const int64_t positions = shape.positions, d_head = kWidth > 0 ? kWidth : shape.d_head;
  for (int64_t t = 0; t < positions; ++t) {
    const T* __restrict query = q + t * d_head;
    const T* __restrict row = probabilities + t * positions;
    const T* __restrict up = upstream + t * shape.stride;
    T* __restrict d_query = d_q + t * d_head;
    const int64_t seen = t + 1;
    for (int64_t s = 0; s < seen; ++s) d_row[s] = 0;
    for (int64_t c = 0; c < d_head; ++c) add_scaled(seen, up[c], v_columns + c * positions, d_row);
    const T expected = dot(seen, row, d_row);
#pragma omp simd
    for (int64_t s = 0; s < seen; ++s) d_row[s] = row[s] * (d_row[s] - expected) * factor;
    for (int64_t c = 0; c < d_head; ++c) d_query[c] = 0;
    for (int64_t s = 0; s < seen; ++s) {
      add_scaled(d_head, d_row[s], k + s * d_head, d_query);
      add_scaled(d_head, d_row[s], query, d_k + s * d_head);
      add_scaled(d_head, row[s], up, d_v + s * d_head);
    }
  }
}

// The paper's head width as a constant: rows of a head then are one or two vector registers.
template <typename T>
void attend(const HeadShape& shape, T factor, const T* q, const T* k_columns, const T* v,
            T* probabilities, T* out) {
  const auto run = shape.d_head == 16 ? attend_heads<T, 16> : attend_heads<T, 0>;
  run(shape, factor, q, k_columns, v, probabilities, out);
}

template <typename T>
void attend_backward(const HeadShape& shape, T factor, const T* q, const T* k, const T* v_columns,
                     const T* probabilities, const T* upstream, T* d_q, T* d_k, T* d_v, T* d_row) {
  const auto run = shape.d_head == 16 ? attend_heads_backward<T, 16> : attend_heads_backward<T, 0>;
  run(shape, factor, q, k, v_columns, probabilities, upstream, d_q, d_k, d_v, d_row);
}

template <typename T>
void top_k(int64_t n, int64_t k, const T* logits, int64_t* indices, T* chosen) {
  // Insertion into the k best so far: a later equal logit never overtakes an earlier one. Written
  // so that a logit that is no number stays out of the comparison's way and shows in the softmax.
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
  const T largest = logits[indices[0]];
  T sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    chosen[i] = exponential(logits[indices[i]] - largest);
    sum += chosen[i];
  }
  // A logit that is no number has no place in the order; it must show, wherever it stands.
  for (int64_t i = 0; i < k; ++i) chosen[i] = has_nan ? static_cast<T>(__builtin_nan("")) : chosen[i] / sum;
}

template <typename T>
const SimdLoops<T>& table(const char* name) {
  static const SimdLoops<T> loops = {
      name,    gated_silu<T>, silu_backward<T>,     multiply<T>, add_scaled<T>, scale<T>,
      dot<T>,  rms_norm<T>,   rms_norm_backward<T>, rotate<T>,   attend<T>,     attend_backward<T>,
      top_k<T>};
  return loops;
}

}  // namespace CDSP_SIMD
}  // namespace cdsp
