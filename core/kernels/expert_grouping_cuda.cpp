#include <limits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/expert_grouping.h"
#include "kernels/expert_grouping_blocks.h"

namespace cdsp {

at::Tensor count_by_expert_cuda(const at::Tensor& indices_in, const at::Tensor& weights) {
  const at::Tensor indices = indices_in.contiguous();
  const int64_t experts = weights.size(1);
  constexpr int64_t kExactInFloat = int64_t{1} << 24;
  TORCH_CHECK(weights.scalar_type() != at::kFloat || indices.size(0) <= kExactInFloat,
              "a batch of more than 2^24 tokens, which float32 cannot count");
  at::Tensor counts = at::empty({experts}, weights.options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(counts.scalar_type(), "count_by_expert", [&] {
    run_grid(CountPairs<scalar_t>{indices.data_ptr<int64_t>(), counts.data_ptr<scalar_t>(),
                                  indices.numel(), static_cast<int>(experts)},
             indices.get_device());
  });
  return counts;
}

ExpertRows group_by_expert_cuda(const at::Tensor& indices_in, const at::Tensor& weights_in,
                                const at::Tensor& counts_in) {
  const at::Tensor indices = indices_in.contiguous(), weights = weights_in.contiguous(),
                   counts = counts_in.contiguous();
  const int64_t pairs = indices.numel(), k = indices.size(1), experts = weights.size(1);
  ExpertRows rows;
  rows.chunk = rows_of_chunk(pairs, experts);
  rows.chunks = pairs / rows.chunk + experts;
  // Room for a grid's stride beyond the last row, and for a table of tiles and experts.
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 4;
  TORCH_CHECK(rows.chunks * rows.chunk <= kMost && pairs / kPairsOfTile * experts <= kMost,
              "a batch of some 2^29 pairs of token and expert");
  const at::TensorOptions numbers = indices.options().dtype(at::kInt);
  rows.token = at::empty({rows.chunks * rows.chunk}, numbers);
  rows.weight = at::empty({rows.chunks * rows.chunk}, weights.options());
  rows.owner = at::empty({rows.chunks}, numbers);
  rows.first_chunk = at::empty({experts + 1}, numbers);
  const at::Tensor tile_counts =
      at::empty({(pairs + kPairsOfTile - 1) / kPairsOfTile, experts}, numbers);
  run_grid(CountPairsOfTiles{indices.data_ptr<int64_t>(), tile_counts.data_ptr<int>(), pairs,
                             static_cast<int>(experts)},
           indices.get_device());
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "group_by_expert", [&] {
    run_grid(PlacePairs<scalar_t>{indices.data_ptr<int64_t>(), counts.data_ptr<scalar_t>(),
                                  weights.data_ptr<scalar_t>(), tile_counts.data_ptr<int>(),
                                  rows.token.data_ptr<int>(), rows.owner.data_ptr<int>(),
                                  rows.first_chunk.data_ptr<int>(),
                                  rows.weight.data_ptr<scalar_t>(), static_cast<int>(pairs),
                                  static_cast<int>(rows.chunk), static_cast<int>(rows.chunks),
                                  static_cast<int>(experts), static_cast<int>(k)},
             indices.get_device());
  });
  return rows;
}

}  // namespace cdsp
