// The innermost loops of the fused CPU kernels, compiled once for each instruction set and chosen
// when the program runs. Plain loops over contiguous rows, in float and double; simd_loops.inl is
// their one source.
#pragma once

#include <cstdint>

namespace cdsp {

/// C[m, n] = A[m, k] B[k, n], or C += A B. Element (i, p) of A is at i * a_row + p * a_column, so a
/// transposed A is a matter of strides; rows of B and C are contiguous, b_row and c_row apart.
struct GemmShape {
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, c_row;
  bool add;
};

/// One AdamW update, see adamw_update.h; scalars are in double and rounded to T once.
struct AdamWStep {
  double beta1, beta2, epsilon;
  double rate;                      // lr / (1 - beta1^t)
  double keep;                      // 1 - lr * decay
  double inverse_root_correction2;  // 1 / sqrt(1 - beta2^t)
};

template <typename T>
struct SimdLoops {
  const char* name;  // of the instruction set

  /// Small matrix products, see GemmShape.
  void (*gemm)(const GemmShape& shape, const T* a, const T* b, T* c);

  /// out = z sigma(z)
  void (*silu)(int64_t n, const T* z, T* out);
  /// out = z sigma(z) * gate
  void (*gated_silu)(int64_t n, const T* z, const T* gate, T* out);
  /// hidden = z sigma(z); d_z = upstream * SiLU'(z)
  void (*silu_backward)(int64_t n, const T* z, const T* upstream, T* hidden, T* d_z);
  /// hidden = SiLU(z); d_z, which holds the upstream gradient, becomes factor * upstream *
  /// SiLU'(z). Returns the sum of upstream * hidden.
  T (*scaled_silu_backward)(int64_t n, T factor, const T* z, T* hidden, T* d_z);
  /// to[i] = from[index[i]], rows of d.
  void (*gather_rows)(int64_t rows, int64_t d, const int64_t* index, const T* from, T* to);
  /// out = a * b
  void (*multiply)(int64_t n, const T* a, const T* b, T* out);
  /// out += scale * a
  void (*add_scaled)(int64_t n, T scale, const T* a, T* out);
  /// out = scale * a; out may be a
  void (*scale)(int64_t n, T scale, const T* a, T* out);
  /// sum of a * b
  T (*dot)(int64_t n, const T* a, const T* b);

  /// RMSNorm of one row: y = x w r with r = 1 / sqrt(mean x^2 + epsilon); returns r.
  T (*rms_norm)(int64_t d, T epsilon, const T* x, const T* weight, T* y);
  /// d_x of one row, and d_weight += upstream x r. d_x += where `add`.
  void (*rms_norm_backward)(int64_t d, T epsilon, const T* x, const T* weight, const T* upstream,
                            bool add, T* d_x, T* d_weight);
  /// y = (x - mean) r with r = 1 / sqrt(variance + epsilon); returns r.
  T (*layer_norm)(int64_t n, T epsilon, const T* x, T* y);
  /// d_x += the gradient of layer_norm, given its result y and r.
  void (*layer_norm_backward)(int64_t n, T r, const T* y, const T* upstream, T* d_x);

  /// Rotary turn of `heads` neighbouring heads of one token, in place: each adjacent pair by the
  /// (cos, sin) of `turns` [d_head / 2, 2]; sign -1 turns back (the gradient's way).
  void (*rotate)(int64_t heads, int64_t d_head, const T* turns, T sign, T* row);
  /// Softmax over row[0 .. seen) of scale * row; row[seen .. n) becomes 0. Returns the logarithm of
  /// the sum of exponentials.
  T (*softmax)(int64_t seen, int64_t n, T scale, T* row);
  /// row = exp(scale * row - log_sum) over [0, seen), 0 up to n: softmax's result once more.
  void (*softmax_again)(int64_t seen, int64_t n, T scale, T log_sum, T* row);
  /// Of softmax: d_row = probabilities * (d_row - sum(probabilities * d_row)) * scale, over [0, n).
  void (*softmax_backward)(int64_t n, T scale, const T* probabilities, T* d_row);

  /// One token: the k largest of logits [n] (ties to the lowest index) and their softmax.
  void (*top_k)(int64_t n, int64_t k, const T* logits, int64_t* indices, T* chosen);

  void (*adamw)(int64_t n, const AdamWStep& step, const T* gradient, T* parameter, T* moment1,
                T* moment2);
};

/// The best set of loops for this processor.
template <typename T>
const SimdLoops<T>& simd_loops();

extern template const SimdLoops<float>& simd_loops<float>();
extern template const SimdLoops<double>& simd_loops<double>();

// One of each per instruction set; the last two exist on x86-64 only.
const SimdLoops<float>& portable_loops(float);
const SimdLoops<double>& portable_loops(double);
const SimdLoops<float>& avx2_loops(float);
const SimdLoops<double>& avx2_loops(double);
const SimdLoops<float>& avx512_loops(float);
const SimdLoops<double>& avx512_loops(double);

}  // namespace cdsp
