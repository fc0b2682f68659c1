#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/top_k_routing.h"
#include "kernels/top_k_routing_blocks.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class TopKRoutingCuda : public torch::autograd::Function<TopKRoutingCuda> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& input, int64_t k) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor logits = input.contiguous();
    const int64_t tokens = logits.size(0), experts = logits.size(1);
    at::Tensor indices = at::empty({tokens, k}, logits.options().dtype(at::kLong));
    at::Tensor weights = at::empty_like(logits);
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "route_top_k", [&] {
      run_grid(TopKForward<scalar_t>{logits.data_ptr<scalar_t>(), indices.data_ptr<int64_t>(),
                                     weights.data_ptr<scalar_t>(), tokens,
                                     static_cast<int>(experts), static_cast<int>(k)},
               logits.get_device());
    });
    context->save_for_backward({indices, weights});
    context->mark_non_differentiable({indices});
    return {weights, indices};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &indices = saved[0], &weights = saved[1];
    const at::Tensor d_weights = upstream[0].contiguous();
    const int64_t tokens = indices.size(0), k = indices.size(1), experts = weights.size(1);
    at::Tensor d_logits = at::empty_like(weights);
    AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "route_top_k_backward", [&] {
      run_grid(TopKBackward<scalar_t>{indices.data_ptr<int64_t>(), weights.data_ptr<scalar_t>(),
                                      d_weights.data_ptr<scalar_t>(), d_logits.data_ptr<scalar_t>(),
                                      tokens, static_cast<int>(experts), static_cast<int>(k)},
               weights.get_device());
    });
    return {d_logits, at::Tensor()};
  }
};

}  // namespace

Routing route_top_k_cuda(const at::Tensor& logits, int64_t k) {
  const variable_list outputs = TopKRoutingCuda::apply(logits, k);
  return {outputs[1], outputs[0], {}, {}};
}

}  // namespace cdsp
