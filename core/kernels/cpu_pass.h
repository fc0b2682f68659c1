// The fused CPU kernels come as objects, one for each time through an operation: forward() keeps
// what backward() needs. The training step calls both itself (model/network_pass.h); for everybody
// else, here is how such an object becomes an operation of LibTorch's autograd.
#pragma once

#include <utility>

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cdsp {

/// Lets an autograd context carry an object. What that keeps of the operation's own outputs must be
/// detached, or graph and output would keep each other for ever.
template <typename Pass>
struct PassHolder : torch::CustomClassHolder {
  template <typename... Arguments>
  explicit PassHolder(Arguments&&... arguments) : pass(std::forward<Arguments>(arguments)...) {}
  Pass pass;
};

/// For the forward pass: an object that the context keeps. The operation's inputs are saved beside
/// it, so that LibTorch sees to it that nobody changes them before the backward pass, and that this
/// is made once unless the graph is to be retained.
template <typename Pass, typename... Arguments>
Pass& new_pass(torch::autograd::AutogradContext* context,
               const torch::autograd::variable_list& inputs, Arguments&&... arguments) {
  context->save_for_backward(inputs);
  auto holder = c10::make_intrusive<PassHolder<Pass>>(std::forward<Arguments>(arguments)...);
  Pass& pass = holder->pass;
  context->saved_data["pass"] = c10::IValue::make_capsule(std::move(holder));
  return pass;
}

/// For the backward pass: the same object.
template <typename Pass>
const Pass& kept_pass(torch::autograd::AutogradContext* context) {
  context->get_saved_variables();  // throws where they may not be used any more
  const auto capsule = context->saved_data["pass"].toCapsule();
  return static_cast<const PassHolder<Pass>*>(capsule.get())->pass;
}

}  // namespace cdsp
