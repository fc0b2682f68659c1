#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/optional_input.h"
#include "kernels/pooled_head.h"
#include "kernels/pooled_head_blocks.h"
#include "kernels/rms_norm.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class PooledHeadCuda : public torch::autograd::Function<PooledHeadCuda> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& h_in,
                            const at::Tensor& norm_in, const at::Tensor& weight_in,
                            const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor h = h_in.contiguous(), norm = norm_in.contiguous(),
                     weight = weight_in.contiguous();
    const int64_t images = h.size(0), positions = h.size(1), d = h.size(2),
                  classes = weight.size(0);
    at::Tensor logits = at::empty({images, classes}, h.options()),
               inverse_rms = at::empty({images, positions}, h.options()),
               mean = at::empty({images, d}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "pooled_head", [&] {
      run_grid(
          PooledHeadForward<scalar_t>{
              h.data_ptr<scalar_t>(), norm.data_ptr<scalar_t>(), weight.data_ptr<scalar_t>(),
              pointer_or_null<scalar_t>(bias), logits.data_ptr<scalar_t>(),
              inverse_rms.data_ptr<scalar_t>(), mean.data_ptr<scalar_t>(), images,
              static_cast<int>(positions), static_cast<int>(d), static_cast<int>(classes),
              static_cast<scalar_t>(kRmsNormEpsilon)},
          h.get_device());
    });
    context->save_for_backward({h, norm, weight, inverse_rms, mean});
    context->saved_data["has_bias"] = is_given(bias);
    return logits;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &h = saved[0], &norm = saved[1], &weight = saved[2], &inverse_rms = saved[3],
                     &mean = saved[4];
    const at::Tensor e = upstream[0].contiguous();
    const int64_t images = h.size(0), positions = h.size(1), d = h.size(2),
                  classes = weight.size(0);
    at::Tensor d_h = at::empty_like(h), d_norm = at::empty_like(norm),
               d_weight = at::empty_like(weight), d_bias;
    if (context->saved_data["has_bias"].toBool()) d_bias = at::empty({classes}, h.options());
    const at::Tensor slopes = at::empty({images, d}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "pooled_head_backward", [&] {
      run_grid(
          PooledHeadBackward<scalar_t>{
              h.data_ptr<scalar_t>(), norm.data_ptr<scalar_t>(), weight.data_ptr<scalar_t>(),
              inverse_rms.data_ptr<scalar_t>(), mean.data_ptr<scalar_t>(), e.data_ptr<scalar_t>(),
              d_h.data_ptr<scalar_t>(), d_norm.data_ptr<scalar_t>(), d_weight.data_ptr<scalar_t>(),
              pointer_or_null<scalar_t>(d_bias), slopes.data_ptr<scalar_t>(), images,
              static_cast<int>(positions), static_cast<int>(d), static_cast<int>(classes)},
          h.get_device());
    });
    return {d_h, d_norm, d_weight, d_bias};
  }
};

}  // namespace

at::Tensor pooled_head_cuda(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                            const at::Tensor& bias) {
  return PooledHeadCuda::apply(h, norm, weight, or_empty(bias, h));
}

}  // namespace cdsp
