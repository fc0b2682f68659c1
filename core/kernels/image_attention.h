// Causal attention of one image's heads on tiles, for attention_block_cpu.cpp.
//
//   forward    P = softmax(scale Q K^T) below the diagonal,  Y = P V
//   backward   dP = dY V^T,  dS = scale P * (dP - rowsum(P * dP)),  dQ = dS K,  dK = dS^T Q,
//              dV = P^T dY
//
// Scores lie transposed, [keys, queries]: a query is a vector lane, and what the softmax adds up
// over its keys never crosses lanes. A block of keys multiplies only the queries from its first row
// on, a block of queries only the keys up to its last: half of the square stays untouched.
// Positions that fill no block make up the first one, which sees the fewest keys; its lanes in
// front of them are padding. P is not kept for the backward pass but made again from each query's
// largest score and sum (Dao et al., arXiv:2205.14135): reading it back from memory would take
// longer.
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
  explicit ImageAttention(const AttentionShape& shape)
      : shape_(shape),
        row_((shape.positions + kBlock - 1) / kBlock * kBlock),
        padding_(row_ - shape.positions),
        scale_(T(1) / std::sqrt(static_cast<T>(shape.d_head))),
        loops_(simd_loops<T>()) {}

  /// Numbers that forward() leaves for backward().
  int64_t statistics() const { return 2 * shape_.heads * row_; }
  int64_t forward_scratch() const { return (shape_.d_head + row_) * row_; }
  int64_t backward_scratch() const { return 2 * (shape_.d_head + row_) * row_; }

  /// qkv [positions, width], q and k turned -> mixed [positions, d], statistics [heads, 2, row]:
  /// every query's largest score, and one over the sum of its exponentials, each in its column.
  void forward(const T* qkv, T* scratch, T* mixed, T* statistics) const {
    T *queries = scratch, *scores = queries + shape_.d_head * row_;
    for (int64_t head = 0; head < shape_.heads; ++head) {
      T *largest = statistics + 2 * head * row_, *inverse = largest + row_;
      transpose_padded(qkv + head * shape_.d_head, shape_.width(), queries);
      transposed_products(qkv + key_column(head), queries, scores);
      for_each_block([&](int64_t begin, int64_t rows) {
        const int64_t lanes = first_lane(begin), column = begin + padding_;
        loops_.causal_softmax(begin + rows, lanes - padding_, row_, scale_, scores + lanes,
                              largest + lanes, inverse + lanes);
        T* out = mixed + begin * shape_.d() + head * shape_.d_head;
        tile_gemm(rows, shape_.d_head, begin + rows, transposed<T>(scores + column, row_),
                  qkv + value_column(head), shape_.width(), Into::kSet, out, shape_.d());
        loops_.scale_rows(rows, shape_.d_head, inverse + column, out, shape_.d());
      });
    }
  }

  /// d_mixed [positions, d] -> d_qkv [positions, width], for q and k still turned.
  void backward(const T* qkv, const T* statistics, const T* d_mixed, T* scratch, T* d_qkv) const {
    T *queries = scratch, *upstream = queries + shape_.d_head * row_;  // transposed
    T *scores = upstream + shape_.d_head * row_, *d_scores = scores + row_ * row_;
    for (int64_t head = 0; head < shape_.heads; ++head) {
      const T *largest = statistics + 2 * head * row_, *inverse = largest + row_;
      const T *q = qkv + head * shape_.d_head, *e = d_mixed + head * shape_.d_head;
      transpose_padded(q, shape_.width(), queries);
      transpose_padded(e, shape_.d(), upstream);
      transposed_products(qkv + key_column(head), queries, scores);
      transposed_products(qkv + value_column(head), upstream, d_scores);
      for_each_block([&](int64_t begin, int64_t rows) {
        const int64_t lanes = first_lane(begin), column = begin + padding_;
        loops_.causal_softmax_backward(begin + rows, lanes - padding_, row_, scale_,
                                       largest + lanes, inverse + lanes, scores + lanes,
                                       d_scores + lanes);
        tile_gemm(rows, shape_.d_head, begin + rows, transposed<T>(d_scores + column, row_),
                  qkv + key_column(head), shape_.width(), Into::kSet,
                  d_qkv + begin * shape_.width() + head * shape_.d_head, shape_.width());
      });
      const Into into = head % shape_.group() == 0 ? Into::kSet : Into::kAdd;
      for_each_block([&](int64_t begin, int64_t rows) {
        // The keys of this block are seen by the queries from its first row on.
        const int64_t from = begin * row_ + begin + padding_, later = shape_.positions - begin;
        T* to = d_qkv + begin * shape_.width();
        tile_gemm(rows, shape_.d_head, later, plain<T>(d_scores + from, row_),
                  q + begin * shape_.width(), shape_.width(), into, to + key_column(head),
                  shape_.width());
        tile_gemm(rows, shape_.d_head, later, plain<T>(scores + from, row_), e + begin * shape_.d(),
                  shape_.d(), into, to + value_column(head), shape_.width());
      });
    }
  }

 private:
  static constexpr int64_t kBlock = kQueryLanes;

  int64_t key_column(int64_t head) const {
    return (shape_.heads + head / shape_.group()) * shape_.d_head;
  }
  int64_t value_column(int64_t head) const {
    return key_column(head) + shape_.kv_heads * shape_.d_head;
  }

  /// body(begin, rows) for each block of positions: the shorter one first.
  template <typename Body>
  void for_each_block(const Body& body) const {
    for (int64_t begin = 0, rows = kBlock - padding_; begin < shape_.positions;
         begin += rows, rows = kBlock)
      body(begin, rows);
  }

  /// Position t stands in column t + padding_; the lanes of the block from `begin` on start here.
  int64_t first_lane(int64_t begin) const { return begin == 0 ? 0 : begin + padding_; }

  /// One head [positions, d_head] -> [d_head, row_], zeros before the first position.
  void transpose_padded(const T* from, int64_t from_row, T* to) const {
    transpose(shape_.positions, shape_.d_head, from, from_row, to + padding_, row_);
    for (int64_t c = 0; c < shape_.d_head; ++c) std::fill_n(to + c * row_, padding_, T(0));
  }

  /// products [keys, queries] of keys (or values) [positions, d_head], in rows of qkv, with a
  /// transposed head, for the queries from each block's first key on.
  void transposed_products(const T* keys, const T* head, T* products) const {
    for_each_block([&](int64_t begin, int64_t rows) {
      const int64_t lanes = first_lane(begin);
      tile_gemm(rows, row_ - lanes, shape_.d_head,
                plain(keys + begin * shape_.width(), shape_.width()), head + lanes, row_,
                Into::kSet, products + begin * row_ + lanes, row_);
    });
  }

  const AttentionShape& shape_;
  int64_t row_;      // positions, padded to whole blocks
  int64_t padding_;  // in front of them
  T scale_;
  const SimdLoops<T>& loops_;
};

}  // namespace cdsp
