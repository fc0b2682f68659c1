#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/expert_gradients.h"
#include "kernels/expert_rows_aside.h"
#include "kernels/gate_tables.h"
#include "kernels/matrix_product.h"
#include "kernels/optional_input.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"
#include "kernels/standard_experts.h"
#include "kernels/standard_experts_blocks.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Between the products stand the programs of a CDSP layer, in which expert i has selected the
/// columns of its own hidden units and every gate is 1.
class StandardExpertsCuda : public torch::autograd::Function<StandardExpertsCuda> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual,
                            const at::Tensor& x_in, const at::Tensor& weights_in,
                            const at::Tensor& indices_in, const at::Tensor& w1,
                            const at::Tensor& b1_in, const at::Tensor& w2, const at::Tensor& b2_in,
                            const at::Tensor& counts, int64_t precision_in, bool with_gradient) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = x_in.contiguous(), weights = weights_in.contiguous(),
                     indices = indices_in.contiguous(), b1 = b1_in.contiguous(),
                     b2 = b2_in.contiguous();
    const int64_t columns = w1.size(0) * w1.size(1), d = w1.size(2);
    const auto precision = static_cast<Precision>(precision_in);
    const AsideResults w2_rows = run_early(x.get_device(), [=]() -> AsideResults {
      return {w2.permute({0, 2, 1}).reshape({columns, d})};
    });
    const at::Tensor z = matrix_product(x, w1.reshape({columns, d}).t(), precision);
    at::Tensor hidden = at::empty_like(z), y;
    const ExpertRows rows = with_gradient ? group_aside(indices, weights, counts) : ExpertRows();
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const auto tables = own_column_tables<scalar_t>(indices, weights, columns);
      run_grid(GatedHidden<scalar_t>{tables, pointer(b1), pointer(z), pointer(hidden), x.size(0)},
               x.get_device());
      join_early(x.get_device());
      y = matrix_product(hidden, w2_rows[0], precision);
      run_grid(AddOutputBiases<scalar_t>{tables, pointer(b2), pointer_or_null<scalar_t>(residual),
                                         pointer(y), x.size(0), static_cast<int>(d)},
               x.get_device());
    });
    context->save_for_backward({x, weights, indices, w1, w2_rows[0], b2, z, rows.token, rows.weight,
                                rows.owner, rows.first_chunk});
    context->saved_data["precision"] = precision_in;
    context->saved_data["chunk"] = rows.chunk;
    context->saved_data["has_residual"] = is_given(residual);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weights = saved[1], &indices = saved[2], &w1 = saved[3],
                     &w2_rows = saved[4], &b2 = saved[5], &z = saved[6];
    const ExpertRows rows = rows_from(saved, 7, context->saved_data["chunk"].toInt());
    const int64_t experts = w1.size(0), width = w1.size(1), d = w1.size(2);
    const at::Tensor e = upstream[0].contiguous();
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const at::Tensor d_hidden = matrix_product(e, w2_rows.t(), precision);
    at::Tensor d_z = at::empty_like(z), d_weights = at::empty_like(weights);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      run_grid(
          GatedHiddenBackward<scalar_t>{
              own_column_tables<scalar_t>(indices, weights, experts * width), pointer(z),
              pointer(d_hidden), pointer(e), pointer(b2), pointer(d_z), pointer(d_weights), nullptr,
              x.size(0), static_cast<int>(d)},
          x.get_device());
    });
    const AsideResults of_weights = run_aside(x.get_device(), [=]() -> AsideResults {
      const ExpertGradientSums sums = own_column_gradients_cuda({rows, experts, x, e, z, d_hidden});
      return {sums.first, sum_of_rows_cuda(d_z).view({experts, width}), sums.second,
              at::mm(weights.t(), e)};
    });
    return {context->saved_data["has_residual"].toBool() ? upstream[0] : at::Tensor(),
            matrix_product(d_z, w1.reshape({experts * width, d}), precision),
            d_weights,
            at::Tensor(),
            of_weights[0],
            of_weights[1],
            of_weights[2],
            of_weights[3],
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor standard_experts_cuda(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                 const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                                 const at::Tensor& residual, Precision precision) {
  return StandardExpertsCuda::apply(or_empty(residual, x), x, routing.weights, routing.indices, w1,
                                    b1, w2, b2, selection_counts(routing),
                                    static_cast<int64_t>(precision), at::GradMode::is_enabled());
}

}  // namespace cdsp
