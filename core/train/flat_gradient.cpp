#include "train/flat_gradient.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "kernels/side_stream.h"

namespace cdsp {

FlatGradient differentiate(const ParameterSet& parameters, const at::Tensor& loss) {
  return differentiate(parameters, {loss}, {});
}

FlatGradient differentiate(const ParameterSet& parameters, const std::vector<at::Tensor>& outputs,
                           const std::vector<at::Tensor>& output_gradients) {
  SideStream weights(parameters.all().front().value.get_device());
  const auto gradients = torch::autograd::grad(outputs, parameters.values(), output_gradients,
                                               /*retain_graph=*/false, /*create_graph=*/false,
                                               /*allow_unused=*/true);
  weights.join();
  FlatGradient result;
  std::vector<at::Tensor> pieces;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const bool reached = gradients[i].defined();
    result.reached.push_back(reached);
    const at::Tensor& value = parameters.all()[i].value;
    pieces.push_back(reached ? gradients[i].reshape({-1})
                             : at::zeros({value.numel()}, value.options().requires_grad(false)));
  }
  result.flat = at::cat(pieces);
  return result;
}

}  // namespace cdsp
