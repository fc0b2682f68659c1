#include "train/flat_gradient.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/side_stream.h"

namespace cdsp {

namespace {

/// gradient + more, whichever of them there are.
at::Tensor sum_of(const at::Tensor& gradient, const at::Tensor& more) {
  if (!gradient.defined() || !more.defined()) return gradient.defined() ? gradient : more;
  return run_aside(gradient.get_device(), [=]() -> AsideResults { return {gradient + more}; })[0];
}

}  // namespace

FlatGradient differentiate(const ParameterSet& parameters, const at::Tensor& loss) {
  return differentiate(parameters, {loss}, {}, {});
}

FlatGradient differentiate(const ParameterSet& parameters, const std::vector<at::Tensor>& outputs,
                           const std::vector<at::Tensor>& output_gradients,
                           const std::vector<DirectGradient>& direct) {
  SideStream side(parameters.all().front().value.get_device());
  const auto gradients = torch::autograd::grad(outputs, parameters.values(), output_gradients,
                                               /*retain_graph=*/false, /*create_graph=*/false,
                                               /*allow_unused=*/true);
  std::vector<at::Tensor> found;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const auto more = std::find_if(direct.begin(), direct.end(), [&](const DirectGradient& one) {
      return one.parameter.is_same(parameters.all()[i].value);
    });
    found.push_back(more == direct.end() ? gradients[i] : sum_of(gradients[i], more->gradient));
  }
  side.join();
  FlatGradient result;
  std::vector<at::Tensor> pieces;
  for (size_t i = 0; i < found.size(); ++i) {
    const bool reached = found[i].defined();
    result.reached.push_back(reached);
    const at::Tensor& value = parameters.all()[i].value;
    pieces.push_back(reached ? found[i].reshape({-1})
                             : at::zeros({value.numel()}, value.options().requires_grad(false)));
  }
  result.flat = at::cat(pieces);
  return result;
}

}  // namespace cdsp
