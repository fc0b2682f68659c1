#include "kernels/expert_grouping.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace cdsp {

int64_t rows_of_chunk(int64_t pairs, int64_t experts) {
  return std::clamp<int64_t>(pairs / (4 * experts), 8, 128);
}

ExpertGrouping group_by_expert(const at::Tensor& indices, const at::Tensor& weights) {
  const int64_t tokens = indices.size(0), k = indices.size(1), experts = weights.size(1);
  const int64_t pairs = tokens * k;
  ExpertGrouping grouping;
  grouping.chunk = rows_of_chunk(pairs, experts);
  const int64_t chunks = pairs / grouping.chunk + experts;

  const at::Tensor expert_of_pair = indices.reshape({-1});
  const auto sorted = at::sort(expert_of_pair, /*stable=*/true, 0, /*descending=*/false);
  const at::Tensor& sorted_expert = std::get<0>(sorted);
  const at::Tensor& pair = std::get<1>(sorted);  // pair number = token * k + slot

  const at::Tensor names = at::arange(experts, indices.options());
  const at::Tensor count = expert_of_pair.unsqueeze(1).eq(names).sum(0);  // [N]
  const at::Tensor chunk_count = at::floor_divide(count + (grouping.chunk - 1), grouping.chunk);
  const at::Tensor last_chunk = chunk_count.cumsum(0);  // exclusive end
  const at::Tensor first_row = (last_chunk - chunk_count) * grouping.chunk;
  const at::Tensor first_pair = count.cumsum(0) - count;

  const at::Tensor row = at::arange(pairs, indices.options()) +
                         (first_row - first_pair).index_select(0, sorted_expert);
  const at::Tensor token = at::floor_divide(pair, k);
  grouping.token = at::zeros({chunks * grouping.chunk}, indices.options()).scatter(0, row, token);
  const at::Tensor weight_of_pair = weights.gather(1, indices).reshape({-1}).index_select(0, pair);
  grouping.weight = at::zeros({chunks * grouping.chunk}, weights.options())
                        .scatter(0, row, weight_of_pair)
                        .unsqueeze(1);

  const at::Tensor chunk_number = at::arange(chunks, indices.options()).unsqueeze(0);
  grouping.ownership = chunk_number.ge((last_chunk - chunk_count).unsqueeze(1))
                           .logical_and(chunk_number.lt(last_chunk.unsqueeze(1)))
                           .to(weights.scalar_type());
  return grouping;
}

at::Tensor weighted_outer_sums(const ExpertGrouping& grouping, const at::Tensor& left,
                               const at::Tensor& right) {
  at::Tensor left_rows = left.index_select(0, grouping.token);
  at::Tensor right_rows = right.index_select(0, grouping.token);
  // The weight goes to the narrower side: fewer numbers to touch.
  (left.size(1) <= right.size(1) ? left_rows : right_rows).mul_(grouping.weight);
  const int64_t a = left.size(1), b = right.size(1);
  const int64_t experts = grouping.ownership.size(0), chunks = grouping.ownership.size(1);
  const at::Tensor per_chunk = at::bmm(left_rows.view({chunks, grouping.chunk, a}).transpose(1, 2),
                                       right_rows.view({chunks, grouping.chunk, b}));
  return at::mm(grouping.ownership, per_chunk.view({chunks, a * b})).view({experts, a, b});
}

}  // namespace cdsp
