#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rms_norm.h"
#include "kernels/rms_norm_blocks.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class RmsNormCuda : public torch::autograd::Function<RmsNormCuda> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& input,
                               const at::Tensor& weight_in) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = input.contiguous(), weight = weight_in.contiguous();
    const int64_t d = x.size(-1), rows = x.numel() / d;
    at::Tensor y = at::empty_like(x), inverse_rms = at::empty({rows}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm", [&] {
      run_grid(
          RmsNormForward<scalar_t>{x.data_ptr<scalar_t>(), weight.data_ptr<scalar_t>(),
                                   y.data_ptr<scalar_t>(), inverse_rms.data_ptr<scalar_t>(), rows,
                                   static_cast<int>(d), static_cast<scalar_t>(kRmsNormEpsilon)},
          x.get_device());
    });
    context->save_for_backward({x, weight, inverse_rms});
    context->set_materialize_grads(false);  // zeros would be a launch, and one more to add them
    return {y, input};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
    if (!upstream[0].defined()) return {upstream[1], at::Tensor()};
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor beside = upstream[1].defined() ? upstream[1].contiguous() : at::Tensor();
    const int64_t d = x.size(-1), rows = x.numel() / d;
    at::Tensor d_x = at::empty_like(x), parts;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm_backward", [&] {
      RmsNormBackward<scalar_t> program{x.data_ptr<scalar_t>(),
                                        weight.data_ptr<scalar_t>(),
                                        inverse_rms.data_ptr<scalar_t>(),
                                        up.data_ptr<scalar_t>(),
                                        beside.defined() ? beside.data_ptr<scalar_t>() : nullptr,
                                        d_x.data_ptr<scalar_t>(),
                                        nullptr,
                                        rows,
                                        static_cast<int>(d)};
      parts = at::empty({program.blocks(), d}, x.options());
      program.d_weight_parts = parts.data_ptr<scalar_t>();
      run_grid(program, x.get_device());
    });
    const AsideResults d_weight =
        run_aside(x.get_device(), [parts]() -> AsideResults { return {sum_of_rows_cuda(parts)}; });
    return {d_x, d_weight[0]};
  }
};

}  // namespace

NormedStream norm_beside_residual_cuda(const at::Tensor& x, const at::Tensor& weight) {
  const variable_list outputs = RmsNormCuda::apply(x, weight);
  return {outputs[0], outputs[1]};
}

}  // namespace cdsp
