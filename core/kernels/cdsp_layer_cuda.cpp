#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cdsp_layer.h"
#include "kernels/expert_gradients.h"
#include "kernels/expert_rows_aside.h"
#include "kernels/gate_tables.h"
#include "kernels/gated_experts.h"
#include "kernels/gradient_sink.h"
#include "kernels/matrix_product.h"
#include "kernels/optional_input.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// y and z where the layer is not one program.
GatedExpertsOutputs by_products(const GatedExpertsInputs& in, const at::Tensor& residual,
                                Precision precision) {
  const at::Tensor z = matrix_product(in.x, in.u, precision), hidden = at::empty_like(z);
  AT_DISPATCH_FLOATING_TYPES(z.scalar_type(), "cdsp_layer", [&] {
    run_grid(GatedHidden<scalar_t>{tables_of<scalar_t>(in.indices, in.weights, in.gate, in.mask),
                                   nullptr, z.data_ptr<scalar_t>(), hidden.data_ptr<scalar_t>(),
                                   z.size(0)},
             z.get_device());
  });
  const at::Tensor y = matrix_product(hidden, in.v, precision);
  return {is_given(residual) ? residual + y : y, z};
}

GatedExpertsGradients back_by_products(const GatedExpertsInputs& in, const at::Tensor& z,
                                       const at::Tensor& upstream, Precision precision) {
  GatedExpertsGradients found;
  found.hidden = matrix_product(upstream, in.v.t(), precision);
  const at::Tensor d_z = at::empty_like(z);
  found.weights = at::empty_like(in.weights);
  AT_DISPATCH_FLOATING_TYPES(z.scalar_type(), "cdsp_layer_backward", [&] {
    GatedHiddenBackward<scalar_t> program{
        tables_of<scalar_t>(in.indices, in.weights, in.gate, in.mask),
        z.data_ptr<scalar_t>(),
        found.hidden.data_ptr<scalar_t>(),
        nullptr,
        nullptr,
        d_z.data_ptr<scalar_t>(),
        found.weights.data_ptr<scalar_t>(),
        nullptr,
        z.size(0),
        0};
    found.gate_parts = at::empty({program.blocks(), in.mask.size(0)}, z.options());
    program.gate_parts = found.gate_parts.data_ptr<scalar_t>();
    run_grid(program, z.get_device());
  });
  found.x = matrix_product(d_z, in.u.t(), precision);
  return found;
}

class CdspLayerCuda : public torch::autograd::Function<CdspLayerCuda> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual,
                            const at::Tensor& x_in, const at::Tensor& weights_in,
                            const at::Tensor& indices_in, const at::Tensor& u_in,
                            const at::Tensor& v_in, const at::Tensor& gate_in,
                            const at::Tensor& mask_in, const at::Tensor& counts,
                            const c10::intrusive_ptr<GradientSink>& sink, int64_t precision_in,
                            bool with_gradient) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto precision = static_cast<Precision>(precision_in);
    const at::Tensor x = x_in.contiguous(), weights = weights_in.contiguous(),
                     indices = indices_in.contiguous(), u = u_in.contiguous(),
                     v = v_in.contiguous();
    const ExpertRows rows = with_gradient ? group_aside(indices, weights, counts) : ExpertRows();
    join_early(x.get_device());  // gate and mask may come from there
    const at::Tensor gate = gate_in.contiguous(), mask = mask_in.contiguous();
    const GatedExpertsInputs in{x, weights, indices, u, v, gate, mask};
    const GatedExpertsOutputs out = gated_experts_fit(in, precision)
                                        ? gated_experts_cuda(in, residual)
                                        : by_products(in, residual, precision);
    context->save_for_backward({x, weights, indices, u, v, gate, mask, out.z, rows.token,
                                rows.weight, rows.owner, rows.first_chunk});
    keep_sink(*context, sink);
    context->saved_data["precision"] = precision_in;
    context->saved_data["chunk"] = rows.chunk;
    context->saved_data["has_residual"] = is_given(residual);
    return out.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weights = saved[1], &indices = saved[2], &u = saved[3],
                     &v = saved[4], &gate = saved[5], &mask = saved[6], &z = saved[7];
    const ExpertRows rows = rows_from(saved, 8, context->saved_data["chunk"].toInt());
    const at::Tensor e = upstream[0].contiguous();
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const GatedExpertsInputs in{x, weights, indices, u, v, gate, mask};
    const GatedExpertsGradients found = gated_experts_fit(in, precision)
                                            ? gated_experts_backward_cuda(in, z, e)
                                            : back_by_products(in, z, e, precision);
    const ExpertGradientInputs of_experts{rows, mask.size(0), x, e, z, found.hidden};
    const AsideResults experts =
        run_aside(x.get_device(), [of_experts, gate, mask]() -> AsideResults {
          const ExpertGradientSums sums = backbone_gradients_cuda(of_experts, gate, mask);
          return {sums.first, sums.second, sums.first_total, sums.second_total};
        });
    const AsideResults d_gate = run_aside(
        x.get_device(),
        [parts = found.gate_parts]() -> AsideResults { return {sum_of_rows_cuda(parts)}; });
    hand_over(*context, {experts[0], experts[1]});
    return {context->saved_data["has_residual"].toBool() ? e : at::Tensor(),
            found.x,
            found.weights,
            at::Tensor(),
            experts[2],
            experts[3],
            d_gate[0],
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor cdsp_layer_cuda(const CdspLayerInputs& in,
                           const std::shared_ptr<ExpertGradients>& gradients, Precision precision) {
  return CdspLayerCuda::apply(
      or_empty(in.residual, in.x), in.x, in.routing.weights, in.routing.indices, in.u, in.v,
      in.gate, in.mask, selection_counts(in.routing), c10::make_intrusive<GradientSink>(gradients),
      static_cast<int64_t>(precision), at::GradMode::is_enabled());
}

}  // namespace cdsp
