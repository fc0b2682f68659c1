// Autograd held against central differences, in float64.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp::test {

struct GradientInput {
  std::string name;
  at::Tensor value;  // float64 leaf that requires grad
};

/// CHECKs for every input that the gradient of `loss` (a 0-dimensional function of the inputs)
/// agrees with five-point central differences along two random directions of the whole tensor and
/// in up to three single entries, to `tolerance` of the gradient's norm; and that the gradient is
/// not zero.
void check_gradients(const std::function<at::Tensor()>& loss,
                     const std::vector<GradientInput>& inputs, double tolerance = 1e-8);

/// A new float64 leaf with these values.
at::Tensor leaf(const at::Tensor& values);

/// Gradients of `loss` with respect to `inputs`; undefined where the loss does not reach one.
std::vector<at::Tensor> gradients_of(const at::Tensor& loss, const std::vector<at::Tensor>& inputs);

}  // namespace cdsp::test
