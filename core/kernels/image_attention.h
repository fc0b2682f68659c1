// Causal attention of one image's heads on tiles, for attention_block_cpu.cpp.
//
//   forward    P = softmax(scale Q K^T) below the diagonal,  Y = P V
//   backward   dP = dY V^T,  dS = scale P * (dP - rowsum(P * dP)),  dQ = dS K,  dK = dS^T Q,
//              dV = P^T dY
//
// Rows of queries go in blocks, and a block multiplies only the keys up to its last row: half of
// the square stays untouched. P is not kept for the backward pass but made again from each row's
// log-sum (Dao et al., arXiv:2205.14135): reading it back from memory would take longer.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/tile_gemm.h"

namespace cdsp {

struct AttentionShape {
  int64_t batch, positions, heads, kv_heads, d_head;
  int64_t d() const { return heads * d_head; }
  /// q, k and v of a token side by side.
  int64_t width() const { return (heads + 2 * kv_heads) * d_head; }
  int64_t group() const { return heads / kv_heads; }
};

template <typename T>
class ImageAttention {
 public:
  static constexpr int64_t kBlock = 16;  // queries

  explicit ImageAttention(const AttentionShape& shape)
      : shape_(shape),
        row_(padded_row<T>(shape.positions)),
        scale_(T(1) / std::sqrt(static_cast<T>(shape.d_head))),
        loops_(simd_loops<T>()) {}

  int64_t forward_scratch() const { return (shape_.d_head + kBlock) * row_; }
  int64_t backward_scratch() const { return 2 * (shape_.d_head + shape_.positions) * row_; }

  /// qkv [positions, width], q and k turned -> mixed [positions, d], log_sums [heads, positions].
  void forward(const T* qkv, T* scratch, T* mixed, T* log_sums) const {
    T *keys = scratch, *scores = keys + shape_.d_head * row_;
    for (int64_t kv = 0; kv < shape_.kv_heads; ++kv) {
      transpose_padded(qkv + key_column(kv), shape_.width(), keys);
      for (int64_t head = kv * shape_.group(); head < (kv + 1) * shape_.group(); ++head) {
        for_each_block([&](int64_t begin, int64_t rows, int64_t seen) {
          score_block(qkv, head, begin, rows, seen, keys, scores);
          for (int64_t i = 0; i < rows; ++i) {
            log_sums[head * shape_.positions + begin + i] =
                loops_.softmax(begin + i + 1, padded_row<T>(seen), scale_, scores + i * row_);
          }
          tile_gemm(rows, shape_.d_head, seen, plain<T>(scores, row_), qkv + value_column(kv),
                    shape_.width(), Into::kSet, mixed + begin * shape_.d() + head * shape_.d_head,
                    shape_.d());
        });
      }
    }
  }

  /// d_mixed [positions, d] -> d_qkv [positions, width], for q and k still turned.
  void backward(const T* qkv, const T* log_sums, const T* d_mixed, T* scratch, T* d_qkv) const {
    T *keys = scratch, *values = keys + shape_.d_head * row_;
    T* probabilities = values + shape_.d_head * row_;
    T* d_scores = probabilities + shape_.positions * row_;
    for (int64_t kv = 0; kv < shape_.kv_heads; ++kv) {
      transpose_padded(qkv + key_column(kv), shape_.width(), keys);
      transpose_padded(qkv + value_column(kv), shape_.width(), values);
      for (int64_t head = kv * shape_.group(); head < (kv + 1) * shape_.group(); ++head) {
        const T* upstream = d_mixed + head * shape_.d_head;
        for_each_block([&](int64_t begin, int64_t rows, int64_t seen) {
          T *p = probabilities + begin * row_, *d_s = d_scores + begin * row_;
          score_block(qkv, head, begin, rows, seen, keys, p);
          tile_gemm(rows, padded_row<T>(seen), shape_.d_head,
                    plain(upstream + begin * shape_.d(), shape_.d()), static_cast<const T*>(values),
                    row_, Into::kSet, d_s, row_);
          for (int64_t i = 0; i < rows; ++i) {
            loops_.softmax_again(begin + i + 1, padded_row<T>(seen), scale_,
                                 log_sums[head * shape_.positions + begin + i], p + i * row_);
            loops_.softmax_backward(padded_row<T>(seen), scale_, p + i * row_, d_s + i * row_);
          }
          tile_gemm(rows, shape_.d_head, seen, plain<T>(d_s, row_), qkv + key_column(kv),
                    shape_.width(), Into::kSet,
                    d_qkv + begin * shape_.width() + head * shape_.d_head, shape_.width());
        });
        const Into into = head == kv * shape_.group() ? Into::kSet : Into::kAdd;
        const T* queries = qkv + head * shape_.d_head;
        for (int64_t begin = 0; begin < shape_.positions; begin += kBlock) {
          // The keys of this block are seen by the queries from its first row on.
          const int64_t rows = std::min(kBlock, shape_.positions - begin);
          const int64_t from = begin * row_ + begin, later = shape_.positions - begin;
          tile_gemm(rows, shape_.d_head, later, transposed<T>(d_scores + from, row_),
                    queries + begin * shape_.width(), shape_.width(), into,
                    d_qkv + begin * shape_.width() + key_column(kv), shape_.width());
          tile_gemm(rows, shape_.d_head, later, transposed<T>(probabilities + from, row_),
                    upstream + begin * shape_.d(), shape_.d(), into,
                    d_qkv + begin * shape_.width() + value_column(kv), shape_.width());
        }
      }
    }
  }

 private:
  int64_t key_column(int64_t kv) const { return (shape_.heads + kv) * shape_.d_head; }
  int64_t value_column(int64_t kv) const {
    return (shape_.heads + shape_.kv_heads + kv) * shape_.d_head;
  }

  /// body(begin, rows, seen): rows of queries from `begin` on, the last of which sees `seen` keys.
  template <typename Body>
  void for_each_block(const Body& body) const {
    for (int64_t begin = 0; begin < shape_.positions; begin += kBlock) {
      const int64_t rows = std::min(kBlock, shape_.positions - begin);
      body(begin, rows, begin + rows);
    }
  }

  /// One head [positions, d_head] -> [d_head, row_], zeros after the last position.
  void transpose_padded(const T* from, int64_t from_row, T* to) const {
    transpose(shape_.positions, shape_.d_head, from, from_row, to, row_);
    for (int64_t c = 0; c < shape_.d_head; ++c)
      std::fill(to + c * row_ + shape_.positions, to + (c + 1) * row_, T(0));
  }

  void score_block(const T* qkv, int64_t head, int64_t begin, int64_t rows, int64_t seen,
                   const T* keys, T* scores) const {
    tile_gemm(rows, padded_row<T>(seen), shape_.d_head,
              plain(qkv + begin * shape_.width() + head * shape_.d_head, shape_.width()), keys,
              row_, Into::kSet, scores, row_);
  }

  const AttentionShape& shape_;
  int64_t row_;  // of a score matrix, padded
  T scale_;
  const SimdLoops<T>& loops_;
};

}  // namespace cdsp
