#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/simd_loops.h"
#include "kernels/top_k_routing.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTokensPerPiece = 512;

class TopKRoutingCpu : public torch::autograd::Function<TopKRoutingCpu> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& input, int64_t k) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor logits = input.contiguous();
    const int64_t tokens = logits.size(0), experts = logits.size(1);
    at::Tensor indices = at::empty({tokens, k}, logits.options().dtype(at::kLong));
    at::Tensor weights = at::zeros_like(logits);
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "route_top_k", [&] {
      const auto& loops = simd_loops<scalar_t>();
      const scalar_t* from = logits.data_ptr<scalar_t>();
      int64_t* chosen_index = indices.data_ptr<int64_t>();
      scalar_t* to = weights.data_ptr<scalar_t>();
      at::parallel_for(0, tokens, kTokensPerPiece, [&](int64_t begin, int64_t end) {
        scalar_t* chosen = thread_scratch<scalar_t>(0, k);
        for (int64_t token = begin; token < end; ++token) {
          int64_t* index = chosen_index + token * k;
          loops.top_k(experts, k, from + token * experts, index, chosen);
          for (int64_t slot = 0; slot < k; ++slot) to[token * experts + index[slot]] = chosen[slot];
        }
      });
    });
    context->save_for_backward({indices, weights});
    context->mark_non_differentiable({indices});
    return {weights, indices};
  }

  /// Softmax over the selected: d_logit_i = w_i (d_w_i - sum_j w_j d_w_j).
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &indices = saved[0], &weights = saved[1];
    const at::Tensor d_weights = upstream[0].contiguous();
    const int64_t tokens = indices.size(0), k = indices.size(1), experts = weights.size(1);
    at::Tensor d_logits = at::zeros_like(weights);
    AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "route_top_k_backward", [&] {
      const int64_t* chosen_index = indices.data_ptr<int64_t>();
      const scalar_t *w = weights.data_ptr<scalar_t>(), *up = d_weights.data_ptr<scalar_t>();
      scalar_t* to = d_logits.data_ptr<scalar_t>();
      at::parallel_for(0, tokens, kTokensPerPiece, [&](int64_t begin, int64_t end) {
        for (int64_t token = begin; token < end; ++token) {
          const int64_t row = token * experts;
          scalar_t expected = 0;
          for (int64_t slot = 0; slot < k; ++slot) {
            const int64_t at = row + chosen_index[token * k + slot];
            expected += w[at] * up[at];
          }
          for (int64_t slot = 0; slot < k; ++slot) {
            const int64_t at = row + chosen_index[token * k + slot];
            to[at] = w[at] * (up[at] - expected);
          }
        }
      });
    });
    return {d_logits, at::Tensor()};
  }
};

}  // namespace

Routing route_top_k_cpu(const at::Tensor& logits, int64_t k) {
  const variable_list outputs = TopKRoutingCpu::apply(logits, k);
  return {outputs[1], outputs[0], {}};
}

}  // namespace cdsp
