#include "kernels/top_k_routing.h"

#include <ATen/ATen.h>

namespace cdsp {

Routing route_top_k(const at::Tensor& logits, int64_t k, bool with_probabilities) {
  Routing routing;
  // A stable sort, not topk: topk breaks ties by whatever the device does first.
  routing.indices = std::get<1>(at::sort(logits.detach(), /*stable=*/true, -1, /*descending=*/true))
                        .narrow(-1, 0, k);
  const at::Tensor chosen = at::softmax(logits.gather(-1, routing.indices), -1);
  routing.weights = at::zeros_like(logits).scatter(-1, routing.indices, chosen);
  if (with_probabilities) routing.probabilities = at::softmax(logits, -1);
  return routing;
}

at::Tensor selection_counts(const Routing& routing) {
  if (routing.counts.defined()) return routing.counts;
  // A comparison table instead of a scatter-add: no atomics, so the same on every device.
  const int64_t experts = routing.weights.size(-1);
  const at::Tensor names = at::arange(experts, routing.indices.options());
  return routing.indices.reshape({-1, 1}).eq(names).sum(0).to(routing.weights.scalar_type());
}

}  // namespace cdsp
