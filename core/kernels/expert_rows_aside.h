// The grouping of a layer's tokens on its way through an autograd function: made on the way forward
// beside the chain (side_stream.h), used on the way back.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/expert_grouping.h"
#include "kernels/side_stream.h"

namespace cdsp {

/// Those of `tensors` from place `first` on, in the order of ExpertRows.
inline ExpertRows rows_from(const std::vector<at::Tensor>& tensors, size_t first, int64_t chunk) {
  return {chunk,
          tensors[first + 2].size(0),
          tensors[first],
          tensors[first + 1],
          tensors[first + 2],
          tensors[first + 3]};
}

/// group_by_expert_cuda() beside the chain.
inline ExpertRows group_aside(const at::Tensor& indices, const at::Tensor& weights,
                              const at::Tensor& counts) {
  const AsideResults found = run_aside(indices.get_device(), [=]() -> AsideResults {
    const ExpertRows rows = group_by_expert_cuda(indices, weights, counts);
    return {rows.token, rows.weight, rows.owner, rows.first_chunk};
  });
  return rows_from(found, 0, rows_of_chunk(indices.numel(), weights.size(1)));
}

}  // namespace cdsp
