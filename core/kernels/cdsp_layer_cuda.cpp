#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cdsp_layer.h"
#include "kernels/expert_grouping.h"
#include "kernels/gate_tables.h"
#include "kernels/gradient_sink.h"
#include "kernels/matrix_product.h"

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
                            const c10::intrusive_ptr<GradientSink>& sink, int64_t precision) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = x_in.contiguous(), weights = weights_in.contiguous(),
                     indices = indices_in.contiguous(), gate = gate_in.contiguous(),
                     mask = mask_in.contiguous();
    const at::Tensor z = matrix_product(x, u, static_cast<Precision>(precision));
    at::Tensor hidden = at::empty_like(z);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "cdsp_layer", [&] {
      run_grid(
          GatedHidden<scalar_t>{tables_of<scalar_t>(indices, weights, gate, mask),
                                z.data_ptr<scalar_t>(), hidden.data_ptr<scalar_t>(), x.size(0)},
          x.get_device());
    });
    context->save_for_backward({x, weights, indices, u, v, gate, mask, counts, z});
    keep_sink(*context, sink);
    context->saved_data["precision"] = precision;
    return matrix_product(hidden, v, static_cast<Precision>(precision));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weights = saved[1], &indices = saved[2], &u = saved[3],
                     &v = saved[4], &gate = saved[5], &mask = saved[6], &counts = saved[7],
                     &z = saved[8];
    const at::Tensor e = upstream[0].contiguous();
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const at::Tensor d_hidden = matrix_product(e, v.t(), precision);
    at::Tensor d_z = at::empty_like(z), d_weights = at::empty_like(weights),
               gate_terms = at::empty_like(weights);
    const ExpertGrouping grouping = group_by_expert_cuda(indices, weights, counts);
    const int64_t rows = grouping.token.size(0), d = x.size(1), columns = z.size(1);
    at::Tensor x_rows = at::empty({rows, d}, x.options()), e_rows = at::empty_like(x_rows);
    at::Tensor d_z_rows = at::empty({rows, columns}, x.options()),
               hidden_rows = at::empty_like(d_z_rows);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "cdsp_layer_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      run_grid(GatedHiddenBackward<scalar_t>{tables_of<scalar_t>(indices, weights, gate, mask),
                                             pointer(z), pointer(d_hidden), pointer(d_z),
                                             pointer(d_weights), pointer(gate_terms), x.size(0)},
               x.get_device());
      run_grid(
          PairRows<scalar_t>{grouping.token.data_ptr<int64_t>(), pointer(grouping.weight),
                             pointer(x), pointer(e), pointer(z), pointer(d_hidden), pointer(x_rows),
                             pointer(e_rows), pointer(d_z_rows), pointer(hidden_rows), rows,
                             static_cast<int>(d), static_cast<int>(columns)},
          x.get_device());
    });
    const at::Tensor g_u = outer_sums(grouping, x_rows, d_z_rows, precision);
    const at::Tensor g_v = outer_sums(grouping, hidden_rows, e_rows, precision);
    at::Tensor d_u = at::empty({d, columns}, x.options()),
               d_v = at::empty({columns, d}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "cdsp_layer_expert_gradients", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      run_grid(FinishExpertGradients<scalar_t>{pointer(gate), pointer(mask), pointer(g_u),
                                               pointer(g_v), pointer(d_u), pointer(d_v),
                                               static_cast<int>(mask.size(0)), static_cast<int>(d),
                                               static_cast<int>(columns)},
               x.get_device());
    });
    hand_over(*context, {g_u, g_v});
    return {matrix_product(d_z, u.t(), precision),
            d_weights,
            at::Tensor(),
            d_u,
            d_v,
            gate_terms.sum(0),
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
  return CdspLayerCuda::apply(
      x, routing.weights, routing.indices, u, v, gate, mask, selection_counts(routing),
      c10::make_intrusive<GradientSink>(gradients), static_cast<int64_t>(precision));
}

}  // namespace cdsp
