// The fused kernels, each alone on inputs of a config's shapes, for the benchmarks: forward (as
// training runs it, leaving what the backward pass needs) and backward; the conflict game and the
// optimiser, which nothing is differentiated through, forward alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"

namespace cdsp {

/// One kernel on one set of inputs.
struct KernelCase {
  std::string kernel;              // "cdsp_layer", "standard_experts", ...
  std::string shape;               // in words
  std::vector<at::Tensor> leaves;  // what gradients are taken of; empty: no backward pass
  std::function<at::Tensor(Engine)> forward;
  at::Tensor upstream;  // gradient of the output

  bool has_backward() const { return !leaves.empty(); }
  /// Gradients of the leaves from `output` = forward(...), which is used up.
  std::vector<at::Tensor> backward(const at::Tensor& output) const;
};

/// The names of all kernels, in the order of kernel_cases().
std::vector<std::string> kernel_names();

/// Every kernel on the shapes of `config` with `batch` images of 28 x 28 pixels; random inputs,
/// dtype as model.dtype says.
std::vector<KernelCase> kernel_cases(const Config& config, int64_t batch);

}  // namespace cdsp
