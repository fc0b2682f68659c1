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

/// The same where the loss is differentiated in some outputs of the network already: outputs, each
/// with the loss's gradient in it. What the loss does not depend on through any of them is not
/// reached.
FlatGradient differentiate(const ParameterSet& parameters, const std::vector<at::Tensor>& outputs,
                           const std::vector<at::Tensor>& gradients);

}  // namespace cdsp
