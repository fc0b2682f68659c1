#include "support/finite_differences.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/catch.h"
#include "support/draw.h"

namespace cdsp::test {
namespace {

/// Derivative of `loss` when `value` moves along `direction` (Frobenius norm 1).
double derivative_along(const std::function<at::Tensor()>& loss, const at::Tensor& value,
                        const at::Tensor& direction) {
  constexpr double kStep = 1e-4;
  const at::Tensor start = value.detach().clone();
  const at::NoGradGuard no_grad;
  const auto loss_at = [&](double steps) {
    value.copy_(start + direction * (steps * kStep));
    return loss().item<double>();
  };
  const double slope =
      (8.0 * (loss_at(1) - loss_at(-1)) - (loss_at(2) - loss_at(-2))) / (12.0 * kStep);
  value.copy_(start);
  return slope;
}

}  // namespace

at::Tensor leaf(const at::Tensor& values) {
  return values.detach().clone().set_requires_grad(true);
}

std::vector<at::Tensor> gradients_of(const at::Tensor& loss,
                                     const std::vector<at::Tensor>& inputs) {
  return torch::autograd::grad({loss}, inputs, /*grad_outputs=*/{}, /*retain_graph=*/false,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

void check_gradients(const std::function<at::Tensor()>& loss,
                     const std::vector<GradientInput>& inputs, double tolerance) {
  std::vector<at::Tensor> values;
  for (const GradientInput& input : inputs) values.push_back(input.value);
  const std::vector<at::Tensor> gradients = gradients_of(loss(), values);
  Draw draw(7);
  for (size_t i = 0; i < inputs.size(); ++i) {
    INFO("gradient of " << inputs[i].name);
    REQUIRE(gradients[i].defined());
    const double norm = gradients[i].norm().item<double>();
    CHECK(norm > 0.0);
    std::vector<at::Tensor> directions;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const at::Tensor direction = draw.normal(values[i].sizes());
      directions.push_back(direction / direction.norm());
    }
    for (const int64_t entry :
         draw.subset(values[i].numel(), std::min<int64_t>(3, values[i].numel()))) {
      const at::Tensor direction = at::zeros(values[i].sizes(), at::kDouble);
      direction.view({-1})[entry] = 1.0;
      directions.push_back(direction);
    }
    for (const at::Tensor& direction : directions) {
      const double measured = derivative_along(loss, values[i], direction);
      const double claimed = (gradients[i] * direction).sum().item<double>();
      CHECK(std::abs(measured - claimed) / norm < tolerance);
    }
  }
}

}  // namespace cdsp::test
