// The innermost loops of the fused CPU kernels, compiled once for each instruction set and chosen
// when the program runs. Plain loops over contiguous rows, in float and double; simd_loops.inl is
// their one source.
#pragma once

#include <cstdint>

namespace cdsp {

/// What a product finds by an index: the rows of A; the columns of an A that is transposed, so rows
/// in memory; the rows of B, beside an A that is transposed (a_row is 1 in both).
enum class Listed { kNothing, kLeftRows, kLeftColumns, kRightRows };

/// C[m, n] = D + A[m, k] B[k, n]. Element (i, p) of A is at i * a_row + p * a_column, so a
/// transposed A is a matter of strides; rows of B, C and D are contiguous, b_row, c_row and d_row
/// apart. D may be C (C += A B), or one row for all (d_row 0: a bias). Where something is listed,
/// index[i] or index[p] stands for i or p.
struct GemmShape {
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, c_row, d_row;
  Listed listed = Listed::kNothing;
  const int64_t* index = nullptr;
};

/// Neighbouring queries (or tokens, rows) that some loops take at once, each in a vector lane of
/// its own.
inline constexpr int64_t kQueryLanes = 16;

/// One AdamW update, see flat_updates.h; scalars are in double and rounded to T once.
struct AdamWStep {
  double beta1, beta2, epsilon;
  double one_minus_beta1, one_minus_beta2;
  double rate;                      // lr / (1 - beta1^t)
  double keep;                      // 1 - lr * decay
  double inverse_root_correction2;  // 1 / sqrt(1 - beta2^t)
};

template <typename T>
struct SimdLoops {
  const char* name;  // of the instruction set

  /// Small matrix products, see GemmShape; addend (D) may be null.
  void (*gemm)(const GemmShape& shape, const T* a, const T* b, const T* addend, T* c);

  /// out = z sigma(z)
  void (*silu)(int64_t n, const T* z, T* out);
  /// out = z sigma(z) * gate
  void (*gated_silu)(int64_t n, const T* z, const T* gate, T* out);
  /// hidden = z sigma(z); d_z = upstream * SiLU'(z)
  void (*silu_backward)(int64_t n, const T* z, const T* upstream, T* hidden, T* d_z);
  /// hidden = factor * SiLU(z); d_z, which holds the upstream gradient, becomes factor * upstream *
  /// SiLU'(z). Returns the sum of upstream * SiLU(z).
  T (*scaled_silu_backward)(int64_t n, T factor, const T* z, T* hidden, T* d_z);
  /// to [columns, rows] = from [rows, columns] transposed, rows of both that far apart.
  void (*transpose)(int64_t rows, int64_t columns, const T* from, int64_t from_row, T* to,
                    int64_t to_row);
  /// out = a * b; out may be a
  void (*multiply)(int64_t n, const T* a, const T* b, T* out);
  /// out = base + the sum over i of scales[i] * rows[i], rows of n; base may be null (0), scales
  /// too (1); out may be base.
  void (*sum_rows)(int64_t n, int64_t count, const T* base, const T* scales, const T* const* rows,
                   T* out);
  /// out += scale * a
  void (*add_scaled)(int64_t n, T scale, const T* a, T* out);
  /// out = scale * a; out may be a
  void (*scale)(int64_t n, T scale, const T* a, T* out);
  /// Rows of n numbers, `row` apart: each becomes its own scale times itself.
  void (*scale_rows)(int64_t rows, int64_t n, const T* scales, T* table, int64_t row);
  /// sum of a * b
  T (*dot)(int64_t n, const T* a, const T* b);
  /// gramian [rows, rows]: the dot products of all pairs of rows of n numbers, `row` apart. Each
  /// has the bytes that dot() gives.
  void (*gramian)(int64_t rows, int64_t n, const T* table, int64_t row, T* gramian);

  /// RMSNorm of one row: y = x w r with r = 1 / sqrt(mean x^2 + epsilon); returns r.
  T (*rms_norm)(int64_t d, T epsilon, const T* x, const T* weight, T* y);
  /// d_x of one row, added to addend [d] unless that is null, and d_weight += upstream x r.
  void (*rms_norm_backward)(int64_t d, T epsilon, const T* x, const T* weight, const T* upstream,
                            const T* addend, T* d_x, T* d_weight);
  /// y = (x - mean) r with r = 1 / sqrt(variance + epsilon); returns r.
  T (*layer_norm)(int64_t n, T epsilon, const T* x, T* y);
  /// d_x of layer_norm, given its result y and r, added to addend [n] unless that is null.
  void (*layer_norm_backward)(int64_t n, T r, const T* y, const T* upstream, const T* addend,
                              T* d_x);

  /// Rotary turn of `heads` neighbouring heads of one token, in place: each adjacent pair by the
  /// (cos, sin) of `turns` [d_head / 2, 2]; sign -1 turns back (the gradient's way).
  void (*rotate)(int64_t heads, int64_t d_head, const T* turns, T sign, T* row);
  /// Softmax of every row: in [rows, n], in_row apart -> out [rows, n]. scratch: n * kQueryLanes
  /// numbers.
  void (*softmax)(int64_t rows, int64_t n, const T* in, int64_t in_row, T* scratch, T* out);

  /// Softmax over the keys of kQueryLanes queries, before the division by its sum. scores [keys,
  /// row]: query l, in column l, sees the keys up to first + l. They become exp(scale (score -
  /// largest)), 0 where unseen; largest [lanes] and inverse [lanes], 1 / sum, are written. A lane
  /// that sees no key (first + l < 0) is padding: what is written there means nothing.
  void (*causal_softmax)(int64_t keys, int64_t first, int64_t row, T scale, T* scores, T* largest,
                         T* inverse);
  /// Given the scores once more and what causal_softmax wrote, scores becomes the probabilities p
  /// and d, their upstream gradient [keys, row], that of the scores: scale p (d - sum p d).
  void (*causal_softmax_backward)(int64_t keys, int64_t first, int64_t row, T scale,
                                  const T* largest, const T* inverse, T* scores, T* d);

  /// The k largest of each token's n logits (ties to the lowest index) and their softmax: logits
  /// [tokens, row] -> indices, chosen [tokens, k]. A token with a logit that is no number has only
  /// such weights. scratch: (n + k) * kQueryLanes numbers.
  void (*top_k)(int64_t tokens, int64_t n, int64_t k, const T* logits, int64_t row, T* scratch,
                int64_t* indices, T* chosen);

  void (*adamw)(int64_t n, const AdamWStep& step, const T* gradient, T* parameter, T* moment1,
                T* moment2);
};

/// The best set of loops for this processor.
template <typename T>
const SimdLoops<T>& choose_simd_loops();

extern template const SimdLoops<float>& choose_simd_loops<float>();
extern template const SimdLoops<double>& choose_simd_loops<double>();

/// The same, chosen once. Here, for it is asked row by row.
template <typename T>
const SimdLoops<T>& simd_loops() {
  static const SimdLoops<T>& loops = choose_simd_loops<T>();
  return loops;
}

// One of each per instruction set; the last two exist on x86-64 only.
const SimdLoops<float>& portable_loops(float);
const SimdLoops<double>& portable_loops(double);
const SimdLoops<float>& avx2_loops(float);
const SimdLoops<double>& avx2_loops(double);
const SimdLoops<float>& avx512_loops(float);
const SimdLoops<double>& avx512_loops(double);

}  // namespace cdsp
