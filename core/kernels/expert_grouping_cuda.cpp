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

ExpertGrouping group_by_expert_cuda(const at::Tensor& indices_in, const at::Tensor& weights_in,
                                    const at::Tensor& counts_in) {
  const at::Tensor indices = indices_in.contiguous(), weights = weights_in.contiguous(),
                   counts = counts_in.contiguous();
  const int64_t tokens = indices.size(0), k = indices.size(1), experts = weights.size(1);
  ExpertGrouping grouping;
  grouping.chunk = rows_of_chunk(tokens * k, experts);
  const int64_t chunks = tokens * k / grouping.chunk + experts, rows = chunks * grouping.chunk;
  grouping.token = at::empty({rows}, indices.options());
  grouping.weight = at::empty({rows, 1}, weights.options());
  grouping.ownership = at::empty({experts, chunks}, weights.options());
  const int64_t tiles = (tokens * k + kPairsOfTile - 1) / kPairsOfTile;
  const at::Tensor tile_counts = at::empty({tiles, experts}, indices.options().dtype(at::kInt));
  run_grid(CountPairsOfTiles{indices.data_ptr<int64_t>(), tile_counts.data_ptr<int>(), tokens * k,
                             static_cast<int>(experts)},
           indices.get_device());
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "group_by_expert", [&] {
    run_grid(PlacePairs<scalar_t>{indices.data_ptr<int64_t>(), counts.data_ptr<scalar_t>(),
                                  weights.data_ptr<scalar_t>(), tile_counts.data_ptr<int>(),
                                  grouping.token.data_ptr<int64_t>(),
                                  grouping.weight.data_ptr<scalar_t>(),
                                  grouping.ownership.data_ptr<scalar_t>(), tokens, grouping.chunk,
                                  chunks, static_cast<int>(experts), static_cast<int>(k)},
             indices.get_device());
  });
  return grouping;
}

}  // namespace cdsp
