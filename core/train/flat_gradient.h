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

/// What the loss's gradient in a parameter is beside all that goes through outputs of the network.
struct DirectGradient {
  at::Tensor parameter, gradient;
};

/// The same where the loss is differentiated already, in some outputs of the network (outputs, each
/// with the loss's gradient in it) and in some parameters. What the loss does not depend on through
/// any of them is not reached.
FlatGradient differentiate(const ParameterSet& parameters, const std::vector<at::Tensor>& outputs,
                           const std::vector<at::Tensor>& gradients,
                           const std::vector<DirectGradient>& direct);

}  // namespace cdsp
