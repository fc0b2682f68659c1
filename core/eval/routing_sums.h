// How often each task's tokens chose each expert, and how far their choice agrees with another one:
// sums over one batch.
//
//   selections [task, i]   tokens of the task that selected expert i
//   agreements [task, 0]   tokens whose set of k experts is that of `first`
//   agreements [task, 1]   sum of Jaccard indices |A and B| / |A or B| of the two sets
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"
#include "kernels/top_k_routing.h"

namespace cdsp {

struct RoutingSums {
  at::Tensor selections;  // float64 [tasks, N]
  at::Tensor agreements;  // float64 [tasks, 2]
};

/// routing and first of the same tokens, as many of each image in turn; image_tasks int64 [images].
RoutingSums routing_sums(const Routing& routing, const Routing& first,
                         const at::Tensor& image_tasks, int64_t num_tasks,
                         Engine engine = Engine::kReference);

}  // namespace cdsp
