// The topology by block programs, on a GPU or emulated.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/side_stream.h"
#include "model/topology.h"
#include "model/topology_blocks.h"
#include "model/topology_numbers_blocks.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class TopologyCuda : public torch::autograd::Function<TopologyCuda> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& alpha_in, int64_t d_base,
                               int64_t rank) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor alpha = alpha_in.contiguous();
    const int64_t experts = alpha.size(0);
    const at::TensorOptions options = alpha.options().requires_grad(false);
    const AsideResults selected = run_early(alpha.get_device(), [=]() -> AsideResults {
      at::Tensor mask = at::empty({experts, d_base}, options), gate = at::empty({experts}, options),
                 slope = at::empty({experts, experts}, options);
      AT_DISPATCH_FLOATING_TYPES(alpha.scalar_type(), "select_topology", [&] {
        run_grid(SelectTopology<scalar_t>{alpha.data_ptr<scalar_t>(), mask.data_ptr<scalar_t>(),
                                          gate.data_ptr<scalar_t>(), slope.data_ptr<scalar_t>(),
                                          static_cast<int>(experts), static_cast<int>(d_base),
                                          static_cast<int>(rank)},
                 alpha.get_device());
      });
      return {mask, gate, slope};
    });
    const at::Tensor &mask = selected[0], &gate = selected[1], &slope = selected[2];
    context->save_for_backward({slope});
    context->mark_non_differentiable({mask});
    context->set_materialize_grads(false);  // of the mask: zeros that nobody reads
    return {gate, mask};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const at::Tensor slope = context->get_saved_variables()[0];
    if (!upstream[0].defined()) return {at::Tensor(), at::Tensor(), at::Tensor()};
    const AsideResults d_alpha = run_aside(
        slope.get_device(),
        [slope, d_gate = upstream[0]]() -> AsideResults { return {d_gate.unsqueeze(1) * slope}; });
    return {d_alpha[0], at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Topology select_topology_cuda(const at::Tensor& alpha, int64_t d_base, int64_t rank) {
  const variable_list outputs = TopologyCuda::apply(alpha, d_base, rank);
  return {outputs[1], outputs[0]};
}

at::Tensor topology_numbers_cuda(const at::Tensor& parameters, const at::Tensor& offsets,
                                 int64_t links) {
  at::Tensor numbers = at::empty({2}, parameters.options().dtype(at::kDouble).requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(parameters.scalar_type(), "topology_numbers", [&] {
    run_grid(
        TopologyNumbersProgram<scalar_t>{parameters.data_ptr<scalar_t>(),
                                         offsets.data_ptr<int64_t>(), numbers.data_ptr<double>(),
                                         offsets.numel(), links, kPrunedStrength},
        parameters.get_device());
  });
  return numbers;
}

}  // namespace cdsp
