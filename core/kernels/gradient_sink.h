// How the CDSP layer's autograd functions hand per-expert gradients out of the backward pass.
#pragma once

#include <memory>

#include <ATen/core/ivalue.h>

#include "kernels/cdsp_layer.h"

namespace cdsp {

/// Lets an autograd context carry the place where per-expert gradients go.
struct GradientSink : torch::CustomClassHolder {
  explicit GradientSink(std::shared_ptr<ExpertGradients> where) : target(std::move(where)) {}
  std::shared_ptr<ExpertGradients> target;
};

}  // namespace cdsp
