// A protocol as the router sees it.
#pragma once

#include <ATen/core/Tensor.h>

#include "eval/protocol.h"

namespace cdsp {

/// The router's task input for a batch, [batch, num_tasks] in `dtype`, or undefined for blind.
at::Tensor task_input(const Protocol& protocol, const at::Tensor& tasks, int64_t num_tasks,
                      at::ScalarType dtype);

}  // namespace cdsp
