// The gradient of a loss in all parameters, as one vector.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "model/parameters.h"

namespace cdsp {

struct FlatGradient {
  at::Tensor flat;            // [parameters.count()], in the order of all(); zero where not reached
  std::vector<bool> reached;  // per parameter: whether a path leads from the loss to it
};

FlatGradient differentiate(const ParameterSet& parameters, const at::Tensor& loss);

}  // namespace cdsp
