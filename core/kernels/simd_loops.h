// The innermost loops of the fused CPU kernels, compiled once for each instruction set and chosen
// when the program runs. Plain loops over contiguous rows, in float and double; simd_loops.inl is
// their one source.
#pragma once

#include <cstdint>

namespace cdsp {

/// Sizes of one attention head's work; rows of its output (and of the upstream gradient) are
/// `stride` apart.
struct HeadShape {
  int64_t positions, d_head, stride;
};

template <typename T>
struct SimdLoops {
  const char* name;  // of the instruction set

  /// out = z sigma(z) * gate
  void (*gated_silu)(int64_t n, const T* z, const T* gate, T* out);
  /// hidden = z sigma(z); d_z = upstream * SiLU'(z)
  void (*silu_backward)(int64_t n, const T* z, const T* upstream, T* hidden, T* d_z);
  /// out = a * b
  void (*multiply)(int64_t n, const T* a, const T* b, T* out);
  /// out += scale * a
  void (*add_scaled)(int64_t n, T scale, const T* a, T* out);
  /// out = scale * a
  void (*scale)(int64_t n, T scale, const T* a, T* out);
  /// sum of a * b
  T (*dot)(int64_t n, const T* a, const T* b);

  /// RMSNorm of one row: y = x w r with r = 1 / sqrt(mean x^2 + epsilon); returns r.
  T (*rms_norm)(int64_t d, T epsilon, const T* x, const T* weight, T* y);
  /// d_x of one row, and d_weight += upstream x r.
  void (*rms_norm_backward)(int64_t d, const T* x, const T* weight, T r, const T* upstream, T* d_x,
                            T* d_weight);

  /// Rotary turn of one head's row by the (cos, sin) pairs `turns` [d_head / 2, 2]; sign -1 turns
  /// back (the gradient's way).
  void (*rotate)(int64_t d_head, const T* turns, T sign, const T* x, T* out);

  /// Causal attention of one query head. q [positions, d_head] and keys are already rotated;
  /// k_columns is k transposed [d_head, positions], v [positions, d_head]. Writes the rows of `out`
  /// and the probabilities [positions, positions] (lower triangle).
  void (*attend)(const HeadShape& shape, T scale, const T* q, const T* k_columns, const T* v,
                 T* probabilities, T* out);
  /// Gradients of attend: d_q rows contiguous [positions, d_head], d_k and d_v += [positions,
  /// d_head]. v_columns is v transposed [d_head, positions]; scratch [positions].
  void (*attend_backward)(const HeadShape& shape, T scale, const T* q, const T* k,
                          const T* v_columns, const T* probabilities, const T* upstream, T* d_q,
                          T* d_k, T* d_v, T* scratch);

  /// One token: the k largest of logits [n] (ties to the lowest index) and their softmax.
  void (*top_k)(int64_t n, int64_t k, const T* logits, int64_t* indices, T* chosen);
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
