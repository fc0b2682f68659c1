// How the CDSP layer's autograd functions hand per-expert gradients out of the backward pass.
#pragma once

#include <memory>
#include <utility>

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cdsp_layer.h"

namespace cdsp {

/// Lets an autograd context carry the place where per-expert gradients go.
struct GradientSink : torch::CustomClassHolder {
  explicit GradientSink(std::shared_ptr<ExpertGradients> where) : target(std::move(where)) {}
  std::shared_ptr<ExpertGradients> target;
};

/// For the forward pass.
inline void keep_sink(torch::autograd::AutogradContext& context,
                      const c10::intrusive_ptr<GradientSink>& sink) {
  context.saved_data["sink"] = c10::IValue::make_capsule(sink);
}

/// For the backward pass: to whoever asked for them, if anybody did.
inline void hand_over(torch::autograd::AutogradContext& context, ExpertGradients gradients) {
  const auto capsule = context.saved_data["sink"].toCapsule();
  const auto& target = static_cast<GradientSink*>(capsule.get())->target;
  if (target) *target = std::move(gradients);
}

}  // namespace cdsp
