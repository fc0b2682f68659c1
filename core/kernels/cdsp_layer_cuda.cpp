#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cdsp_layer.h"
#include "kernels/expert_gradients.h"
#include "kernels/expert_rows_aside.h"
#include "kernels/gate_tables.h"
#include "kernels/gradient_sink.h"
#include "kernels/matrix_product.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class CdspLayerCuda : public torch::autograd::Function<CdspLayerCuda> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_in,
                            const at::Tensor& weights_in, const at::Tensor& indices_in,
                            const at::Tensor& u, const at::Tensor& v, const at::Tensor& gate_in,
                            const at::Tensor& mask_in, const at::Tensor& counts,
                            const c10::intrusive_ptr<GradientSink>& sink, int64_t precision,
                            bool with_gradient) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = x_in.contiguous(), weights = weights_in.contiguous(),
                     indices = indices_in.contiguous(), gate = gate_in.contiguous(),
                     mask = mask_in.contiguous();
    const at::Tensor z = matrix_product(x, u, static_cast<Precision>(precision));
    join_aside(x.get_device());  // gate and mask may come from there
    const ExpertRows rows = with_gradient ? group_aside(indices, weights, counts) : ExpertRows();
    at::Tensor hidden = at::empty_like(z);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "cdsp_layer", [&] {
      run_grid(
          GatedHidden<scalar_t>{tables_of<scalar_t>(indices, weights, gate, mask), nullptr,
                                z.data_ptr<scalar_t>(), hidden.data_ptr<scalar_t>(), x.size(0)},
          x.get_device());
    });
    context->save_for_backward({x, weights, indices, u, v, gate, mask, z, rows.token, rows.weight,
                                rows.owner, rows.first_chunk});
    context->saved_data["chunk"] = rows.chunk;
    keep_sink(*context, sink);
    context->saved_data["precision"] = precision;
    return matrix_product(hidden, v, static_cast<Precision>(precision));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weights = saved[1], &indices = saved[2], &u = saved[3],
                     &v = saved[4], &gate = saved[5], &mask = saved[6], &z = saved[7];
    const ExpertRows rows = rows_from(saved, 8, context->saved_data["chunk"].toInt());
    const at::Tensor e = upstream[0].contiguous();
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const at::Tensor d_hidden = matrix_product(e, v.t(), precision);
    const int64_t experts = mask.size(0);
    const AsideResults of_experts = run_aside(x.get_device(), [=]() -> AsideResults {
      const ExpertGradientSums sums =
          backbone_gradients_cuda({rows, experts, x, e, z, d_hidden}, gate, mask);
      return {sums.first, sums.second, sums.first_total, sums.second_total};
    });
    at::Tensor d_z = at::empty_like(z), d_weights = at::empty_like(weights), gate_parts;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "cdsp_layer_backward", [&] {
      GatedHiddenBackward<scalar_t> program{tables_of<scalar_t>(indices, weights, gate, mask),
                                            z.data_ptr<scalar_t>(),
                                            d_hidden.data_ptr<scalar_t>(),
                                            nullptr,
                                            nullptr,
                                            d_z.data_ptr<scalar_t>(),
                                            d_weights.data_ptr<scalar_t>(),
                                            nullptr,
                                            x.size(0),
                                            0};
      gate_parts = at::empty({program.blocks(), experts}, x.options());
      program.gate_parts = gate_parts.data_ptr<scalar_t>();
      run_grid(program, x.get_device());
    });
    const AsideResults d_gate = run_aside(
        x.get_device(), [gate_parts]() -> AsideResults { return {sum_of_rows_cuda(gate_parts)}; });
    hand_over(*context, {of_experts[0], of_experts[1]});
    return {matrix_product(d_z, u.t(), precision),
            d_weights,
            at::Tensor(),
            of_experts[2],
            of_experts[3],
            d_gate[0],
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor cdsp_layer_cuda(const at::Tensor& x, const Routing& routing, const at::Tensor& u,
                           const at::Tensor& v, const at::Tensor& gate, const at::Tensor& mask,
                           const std::shared_ptr<ExpertGradients>& gradients, Precision precision) {
  return CdspLayerCuda::apply(x, routing.weights, routing.indices, u, v, gate, mask,
                              selection_counts(routing),
                              c10::make_intrusive<GradientSink>(gradients),
                              static_cast<int64_t>(precision), at::GradMode::is_enabled());
}

}  // namespace cdsp
