#include "kernels/attention_block.h"

#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/matrix_product.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary_attention.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// a, b and c, matrices of as many columns, below each other; without a copy where they lie in
/// memory that way, as the parameters of a network do.
class Stacked : public torch::autograd::Function<Stacked> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& b,
                            const at::Tensor& c) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    context->saved_data["rows"] = std::vector<int64_t>{a.size(0), b.size(0), c.size(0)};
    if (!follows(a, b) || !follows(b, c)) return at::cat({a, b, c});
    return a.as_strided({a.size(0) + b.size(0) + c.size(0), a.size(1)}, a.strides());
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const std::vector<int64_t> rows = context->saved_data["rows"].toIntVector();
    return {upstream[0].narrow(0, 0, rows[0]), upstream[0].narrow(0, rows[0], rows[1]),
            upstream[0].narrow(0, rows[0] + rows[1], rows[2])};
  }

 private:
  static bool follows(const at::Tensor& a, const at::Tensor& b) {
    return a.is_contiguous() && b.is_contiguous() && a.storage().is_alias_of(b.storage()) &&
           b.storage_offset() == a.storage_offset() + a.numel();
  }
};

}  // namespace

at::Tensor attention_block(const at::Tensor& h, const AttentionWeights& weights,
                           const AttentionLayout& layout, Engine engine) {
  if (engine == Engine::kFused && h.device().is_cpu()) {
    return attention_block_cpu(h, weights, layout);
  }
  const int64_t batch = h.size(0), positions = h.size(1), d = h.size(2);
  const NormedStream stream = norm_beside_residual(h, weights.norm, engine);
  const at::Tensor tokens = stream.normed.reshape({batch * positions, d});
  const at::Tensor inner = uses_block_programs(engine, h.device())
                               ? Stacked::apply(weights.wq, weights.wk, weights.wv)
                               : at::cat({weights.wq, weights.wk, weights.wv});
  const at::Tensor projections =
      projected(tokens, inner, layout.precision).view({batch, positions, -1});
  const at::Tensor mixed = rotary_attention(projections, layout.heads, layout.kv_heads,
                                            layout.turns, layout.future, engine);
  return stream.residual +
         projected(mixed.view({batch * positions, d}), weights.wo, layout.precision)
             .view({batch, positions, d});
}

}  // namespace cdsp
