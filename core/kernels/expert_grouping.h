// Tokens grouped by expert, with shapes that do not depend on who was selected.
//
// The k*T (token, slot) pairs are sorted by expert and cut into chunks of `chunk` rows; each expert
// starts a fresh chunk, and the rest of its last chunk is padding. floor(kT / chunk) + N chunks
// always suffice, so every shape is known before the routing is, nothing is read back to the host,
// and one batched matrix product serves all experts. (Grouping costs k dense products where masking
// all tokens for every expert would cost N.)
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

struct ExpertGrouping {
  /// Rows of a chunk.
  int64_t chunk = 0;
  /// [chunks * chunk] int64: the token of each row (0 for padding).
  at::Tensor token;
  /// [chunks * chunk, 1]: its router weight for the chunk's expert; 0 for padding.
  at::Tensor weight;
  /// [N, chunks]: 1 where the chunk belongs to the expert; padding chunks belong to nobody.
  at::Tensor ownership;
};

/// Rows of a chunk for so many (token, slot) pairs: big enough for an efficient product, small
/// enough that padding (half a chunk an expert) stays minor.
int64_t rows_of_chunk(int64_t pairs, int64_t experts);

/// indices [T, k] int64 and weights [T, N] as route_top_k makes them (not differentiated).
ExpertGrouping group_by_expert(const at::Tensor& indices, const at::Tensor& weights);

/// The same rows as the block programs take them.
struct ExpertRows {
  int64_t chunk = 0, chunks = 0;
  at::Tensor token;        // int32 [chunks * chunk]
  at::Tensor weight;       // [chunks * chunk]
  at::Tensor owner;        // int32 [chunks]: a chunk's expert; N for those that nobody needs
  at::Tensor first_chunk;  // int32 [N + 1]: an expert's first one, the next one's being its end
};

/// By the block programs of expert_grouping_blocks.h, on a GPU or emulated; counts [N] as
/// count_by_expert_cuda() gives them. Not differentiated.
ExpertRows group_by_expert_cuda(const at::Tensor& indices, const at::Tensor& weights,
                                const at::Tensor& counts);

/// selection_counts() by a block program: how many of indices [T, k] name each expert, [N] in the
/// dtype of weights [T, N].
at::Tensor count_by_expert_cuda(const at::Tensor& indices, const at::Tensor& weights);

/// For every expert i: sum over its tokens t of w_ti * left_t (outer) right_t.
/// left [T, a], right [T, b] -> [N, a, b].
at::Tensor weighted_outer_sums(const ExpertGrouping& grouping, const at::Tensor& left,
                               const at::Tensor& right);

}  // namespace cdsp
