// The source of every variant in simd_loops.h. The including file sets the instruction set and the
// namespace CDSP_SIMD, after all other headers: nothing may be included here, or the linker could
// keep a standard library function compiled for a processor that is not there.

namespace cdsp {
namespace CDSP_SIMD {

// The functions of the vector maths library (libmvec, part of glibc) that loops below turn into.
inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }
inline float logarithm(float x) { return logf(x); }
inline double logarithm(double x) { return log(x); }
inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }

template <typename T>
inline T sigmoid(T z) {
  return T(1) / (T(1) + exponential(-z));
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
  T inner = 0;
#pragma omp simd reduction(+ : inner)
  for (int64_t i = 0; i < n; ++i) {
    const T s = sigmoid(z[i]);
    const T value = z[i] * s;
    hidden[i] = value;
    inner += d_z[i] * value;
    d_z[i] *= factor * (s + value * (T(1) - s));
  }
  return inner;
}

template <typename T>
void gather_rows(int64_t rows, int64_t d, const int64_t* __restrict index, const T* __restrict from,
                 T* __restrict to) {
  for (int64_t i = 0; i < rows; ++i) {
    const T* __restrict row = from + index[i] * d;
#pragma omp simd
    for (int64_t c = 0; c < d; ++c) to[i * d + c] = row[c];
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
void scale(int64_t n, T factor, const T* a, T* out) {
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
  const T r = T(1) / square_root(dot(d, x, x) / static_cast<T>(d) + epsilon);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) y[i] = x[i] * r * weight[i];
  return r;
}

template <typename T>
void rms_norm_backward(int64_t d, T epsilon, const T* __restrict x, const T* __restrict weight,
                       const T* __restrict upstream, bool add, T* __restrict d_x,
                       T* __restrict d_weight) {
  T square = 0, inner = 0;
#pragma omp simd reduction(+ : square, inner)
  for (int64_t i = 0; i < d; ++i) {
    square += x[i] * x[i];
    inner += upstream[i] * weight[i] * x[i];
  }
  const T r = T(1) / square_root(square / static_cast<T>(d) + epsilon);
  const T pull = inner * r * r * r / static_cast<T>(d);
#pragma omp simd
  for (int64_t i = 0; i < d; ++i) {
    const T slope = upstream[i] * weight[i] * r - x[i] * pull;
    d_x[i] = (add ? d_x[i] : T(0)) + slope;
    d_weight[i] += upstream[i] * x[i] * r;
  }
}

template <typename T>
T layer_norm(int64_t n, T epsilon, const T* __restrict x, T* __restrict y) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const T mean = sum / static_cast<T>(n);
  T square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t i = 0; i < n; ++i) square += (x[i] - mean) * (x[i] - mean);
  const T r = T(1) / square_root(square / static_cast<T>(n) + epsilon);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * r;
  return r;
}

template <typename T>
void layer_norm_backward(int64_t n, T r, const T* __restrict y, const T* __restrict upstream,
                         T* __restrict d_x) {
  T sum = 0, inner = 0;
#pragma omp simd reduction(+ : sum, inner)
  for (int64_t i = 0; i < n; ++i) {
    sum += upstream[i];
    inner += upstream[i] * y[i];
  }
  const T mean = sum / static_cast<T>(n), pull = inner / static_cast<T>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) d_x[i] += (upstream[i] - mean - y[i] * pull) * r;
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

// So that the loops below run over whole registers, what is not seen takes part with a number that
// is, and is struck out afterwards. (Minus infinity would do it in one go, but for such arguments
// the vector maths library calls the scalar function.)
template <typename T>
void fill_rest(int64_t seen, int64_t n, T value, T* row) {
  for (int64_t s = seen; s < n; ++s) row[s] = value;
}

template <typename T>
T softmax(int64_t seen, int64_t n, T factor, T* __restrict row) {
  fill_rest(seen, n, row[0], row);
  T largest = row[0];
#pragma omp simd reduction(max : largest)
  for (int64_t s = 0; s < n; ++s) largest = row[s] > largest ? row[s] : largest;
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) row[s] = exponential((row[s] - largest) * factor);
  fill_rest(seen, n, T(0), row);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t s = 0; s < n; ++s) sum += row[s];
  const T inverse = T(1) / sum;
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) row[s] *= inverse;
  return largest * factor + logarithm(sum);
}

template <typename T>
void softmax_again(int64_t seen, int64_t n, T factor, T log_sum, T* __restrict row) {
  fill_rest(seen, n, row[0], row);
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) row[s] = exponential(row[s] * factor - log_sum);
  fill_rest(seen, n, T(0), row);
}

template <typename T>
void softmax_backward(int64_t n, T factor, const T* __restrict probabilities, T* __restrict d_row) {
  const T expected = dot(n, probabilities, d_row);
#pragma omp simd
  for (int64_t s = 0; s < n; ++s) d_row[s] = probabilities[s] * (d_row[s] - expected) * factor;
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
  for (int64_t i = 0; i < k; ++i)
    chosen[i] = has_nan ? static_cast<T>(__builtin_nan("")) : chosen[i] / sum;
}

template <typename T>
void adamw(int64_t n, const AdamWStep& step, const T* __restrict gradient, T* __restrict parameter,
           T* __restrict moment1, T* __restrict moment2) {
  const T beta1 = static_cast<T>(step.beta1), beta2 = static_cast<T>(step.beta2);
  const T epsilon = static_cast<T>(step.epsilon), rate = static_cast<T>(step.rate);
  const T keep = static_cast<T>(step.keep);
  const T root_scale = static_cast<T>(step.inverse_root_correction2);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T g = gradient[i];
    const T m = beta1 * moment1[i] + (T(1) - beta1) * g;
    const T v = beta2 * moment2[i] + (T(1) - beta2) * g * g;
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
                                     gather_rows<T>,
                                     multiply<T>,
                                     add_scaled<T>,
                                     scale<T>,
                                     dot<T>,
                                     rms_norm<T>,
                                     rms_norm_backward<T>,
                                     layer_norm<T>,
                                     layer_norm_backward<T>,
                                     rotate<T>,
                                     softmax<T>,
                                     softmax_again<T>,
                                     softmax_backward<T>,
                                     top_k<T>,
                                     adamw<T>};
  return loops;
}

}  // namespace CDSP_SIMD
}  // namespace cdsp
