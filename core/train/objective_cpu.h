// The objective on the host with its gradient written down, for the fused engine: LibTorch's
// operations on so few numbers would spend all their time in being called.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "train/objective.h"

namespace cdsp {

/// Arguments as objective() takes them.
ObjectiveAndGradient objective_and_gradient_cpu(const Config& config, const ForwardResult& forward,
                                                const at::Tensor& labels,
                                                const std::vector<at::Tensor>& conflicts);

}  // namespace cdsp
