#include "eval/routing_sums.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "train/device_split.h"

namespace cdsp {
namespace {

/// [tokens, N] 1 where selected.
at::Tensor selected_table(const Routing& routing) {
  return at::zeros(routing.weights.sizes(), routing.weights.options().dtype(at::kDouble))
      .scatter(1, routing.indices, 1.0);
}

/// One token after the other: counts are exact, and the Jaccard indices are added in the order of
/// the tokens.
RoutingSums routing_sums_cpu(const Routing& routing, const Routing& first,
                             const at::Tensor& image_tasks, int64_t num_tasks) {
  const at::Tensor chosen = routing.indices.contiguous(), other = first.indices.contiguous();
  const int64_t tokens = chosen.size(0), k = chosen.size(1), experts = routing.weights.size(1),
                positions = tokens / image_tasks.size(0);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  RoutingSums sums{at::zeros({num_tasks, experts}, options), at::zeros({num_tasks, 2}, options)};
  double *selections = sums.selections.data_ptr<double>(),
         *agreements = sums.agreements.data_ptr<double>();
  const int64_t *task_of_image = image_tasks.data_ptr<int64_t>(),
                *mine = chosen.data_ptr<int64_t>(), *theirs = other.data_ptr<int64_t>();
  const bool is_itself = mine == theirs;  // the first protocol beside the first
  for (int64_t token = 0; token < tokens; ++token, mine += k, theirs += k) {
    const int64_t task = task_of_image[token / positions];
    int64_t shared = is_itself ? k : 0;
    for (int64_t slot = 0; slot < k; ++slot) {
      selections[task * experts + mine[slot]] += 1.0;
      if (!is_itself) shared += std::find(theirs, theirs + k, mine[slot]) != theirs + k;
    }
    if (shared == k) agreements[2 * task] += 1.0;
    agreements[2 * task + 1] += static_cast<double>(shared) / static_cast<double>(2 * k - shared);
  }
  return sums;
}

}  // namespace

RoutingSums routing_sums(const Routing& routing, const Routing& first,
                         const at::Tensor& image_tasks, int64_t num_tasks, Engine engine) {
  if (engine == Engine::kFused && routing.indices.device().is_cpu())
    return routing_sums_cpu(routing, first, image_tasks.contiguous(), num_tasks);
  const int64_t tokens = routing.indices.size(0), top_k = routing.indices.size(1);
  const at::Tensor members = one_hot_tasks(image_tasks, num_tasks, at::kDouble);
  const at::Tensor tokens_by_task =
      members.repeat_interleave(tokens / image_tasks.size(0), 0).t();  // [tasks, tokens]
  const at::Tensor selected = selected_table(routing);
  const at::Tensor shared = (selected * selected_table(first)).sum(1);
  const at::Tensor agreement = at::stack({shared.eq(static_cast<double>(top_k)).to(at::kDouble),
                                          shared / (2.0 * static_cast<double>(top_k) - shared)},
                                         1);
  return {at::mm(tokens_by_task, selected), at::mm(tokens_by_task, agreement)};
}

}  // namespace cdsp
