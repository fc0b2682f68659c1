#include "kernels/cdsp_layer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/expert_grouping.h"
#include "kernels/gradient_sink.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class CdspLayer : public torch::autograd::Function<CdspLayer> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weights, const at::Tensor& indices,
                            const at::Tensor& u, const at::Tensor& v, const at::Tensor& gate,
                            const at::Tensor& mask, const c10::intrusive_ptr<GradientSink>& sink) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor z = at::mm(x, u);
    const at::Tensor hidden = at::silu(z);
    const at::Tensor column_gate = at::mm(weights * gate, mask);
    at::Tensor y = at::mm(hidden * column_gate, v);
    context->save_for_backward({x, weights, indices, u, v, gate, mask, z, hidden, column_gate});
    keep_sink(*context, sink);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weights = saved[1], &indices = saved[2], &u = saved[3],
                     &v = saved[4], &gate = saved[5], &mask = saved[6], &z = saved[7],
                     &hidden = saved[8], &column_gate = saved[9];
    const at::Tensor e = upstream[0].contiguous();

    const at::Tensor d_mixed = at::mm(e, v.t());  // dL/d(hidden * column_gate) [T, D]
    const at::Tensor d_weighted_gate = at::mm(d_mixed * hidden, mask.t());  // [T, N]
    const at::Tensor d_weights = d_weighted_gate * gate;
    const at::Tensor d_gate = (d_weighted_gate * weights).sum(0);

    const at::Tensor d_z_ungated = at::silu_backward(d_mixed, z);  // (E V^T) * SiLU'(Z)
    const at::Tensor d_x = at::mm(d_z_ungated * column_gate, u.t());

    const ExpertGrouping grouping = group_by_expert(indices, weights);
    const at::Tensor gated_mask = mask * gate.unsqueeze(1);  // s_i M_i
    const at::Tensor g_u =
        weighted_outer_sums(grouping, x, d_z_ungated).mul_(gated_mask.unsqueeze(1));
    const at::Tensor g_v = weighted_outer_sums(grouping, hidden, e).mul_(gated_mask.unsqueeze(2));

    hand_over(*context, {g_u, g_v});

    return {d_x,        d_weights, at::Tensor(), g_u.sum(0),
            g_v.sum(0), d_gate,    at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor cdsp_layer(const at::Tensor& x, const Routing& routing, const at::Tensor& u,
                      const at::Tensor& v, const at::Tensor& gate, const at::Tensor& mask,
                      const std::shared_ptr<ExpertGradients>& gradients, Engine engine,
                      const at::Tensor& residual, Precision precision) {
  const CdspLayerInputs in{residual, x, routing, u, v, gate, mask};
  if (engine == Engine::kFused && x.device().is_cpu()) {
    return CdspLayerCpu::form_for(mask, routing.indices.size(1)) == CdspLayerCpu::Form::kGrouped
               ? cdsp_layer_grouped_cpu(in, gradients)
               : cdsp_layer_dense_cpu(in, gradients);
  }
  if (uses_block_programs(engine, x.device())) return cdsp_layer_cuda(in, gradients, precision);
  const at::Tensor y = CdspLayer::apply(x, routing.weights, routing.indices, u, v, gate, mask,
                                        c10::make_intrusive<GradientSink>(gradients));
  return residual.defined() ? residual + y : y;
}

}  // namespace cdsp
