#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/expert_tokens.h"
#include "kernels/simd_loops.h"
#include "kernels/small_gemm.h"
#include "kernels/standard_experts.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kStretchTokens = 256;  // of one expert
constexpr int64_t kTokensPerPiece = 256;

struct Shape {
  int64_t tokens, d, hidden, experts, top_k;
  int64_t pairs() const { return tokens * top_k; }
  /// Parameter gradients of one stretch: w1 [f, d], b1 [f], w2 [d, f], b2 [d].
  int64_t part_size() const { return 2 * hidden * d + hidden + d; }
};

template <typename T>
struct Weights {
  const T *w1, *b1, *w2, *b2, *router;
};

/// out[token] = sum over the token's slots of pair_rows[token * k + slot], in the order of the
/// slots.
template <typename T>
void sum_pairs(const Shape& shape, const T* pair_rows, T* out) {
  at::parallel_for(0, shape.tokens, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    const auto& loops = simd_loops<T>();
    for (int64_t token = begin; token < end; ++token) {
      const T* rows = pair_rows + token * shape.top_k * shape.d;
      loops.scale(shape.d, T(1), rows, out + token * shape.d);
      for (int64_t slot = 1; slot < shape.top_k; ++slot)
        loops.add_scaled(shape.d, T(1), rows + slot * shape.d, out + token * shape.d);
    }
  });
}

/// Pre-activations [pairs, f] (in the order of `tokens`) and weighted outputs [pairs, d] (token * k
/// + slot).
template <typename T>
void forward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                     const TokenStretch& stretch, const T* x, T* pre_activation, T* pair_outputs) {
  const auto& loops = simd_loops<T>();
  const int64_t rows = stretch.end - stretch.begin, d = shape.d, f = shape.hidden,
                expert = stretch.expert;
  T* inputs = thread_scratch<T>(0, kStretchTokens * d);
  T* hidden = thread_scratch<T>(1, kStretchTokens * f);
  T* outputs = thread_scratch<T>(2, kStretchTokens * d);
  T* ones = thread_scratch<T>(3, f);
  std::fill(ones, ones + f, T(1));
  T* z = pre_activation + stretch.begin * f;
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(x + tokens.token(stretch.begin + row) * d, d, inputs + row * d);
    std::copy_n(weights.b1 + expert * f, f, z + row * f);
    std::copy_n(weights.b2 + expert * d, d, outputs + row * d);
  }
  gemm<T>(Op::kPlain, Op::kTransposed, rows, f, d, inputs, d, weights.w1 + expert * f * d, d, T(1),
          z, f);
  for (int64_t row = 0; row < rows; ++row) loops.gated_silu(f, z + row * f, ones, hidden + row * f);
  gemm<T>(Op::kPlain, Op::kTransposed, rows, d, f, hidden, f, weights.w2 + expert * d * f, f, T(1),
          outputs, d);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t pair = tokens.pair[static_cast<size_t>(stretch.begin + row)];
    const T weight = weights.router[tokens.token(stretch.begin + row) * shape.experts + expert];
    loops.scale(d, weight, outputs + row * d, pair_outputs + pair * d);
  }
}

/// Input gradients per pair, router gradients, and this stretch's parameter gradients.
template <typename T>
void backward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                      const TokenStretch& stretch, const T* x, const T* upstream,
                      const T* pre_activation, T* d_pair_inputs, T* d_router, T* part) {
  const auto& loops = simd_loops<T>();
  const int64_t rows = stretch.end - stretch.begin, d = shape.d, f = shape.hidden,
                expert = stretch.expert;
  T* inputs = thread_scratch<T>(0, kStretchTokens * d);
  T* hidden = thread_scratch<T>(1, kStretchTokens * f);
  T* up = thread_scratch<T>(2, kStretchTokens * d);
  T* d_hidden = thread_scratch<T>(3, kStretchTokens * f);
  T* d_inputs = thread_scratch<T>(4, kStretchTokens * d);
  const T* z = pre_activation + stretch.begin * f;
  T *d_w1 = part, *d_b1 = d_w1 + f * d, *d_w2 = d_b1 + f, *d_b2 = d_w2 + d * f;
  std::fill(d_b1, d_b1 + f, T(0));
  std::fill(d_b2, d_b2 + d, T(0));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = tokens.token(stretch.begin + row);
    std::copy_n(x + token * d, d, inputs + row * d);
    std::copy_n(upstream + token * d, d, up + row * d);
  }
  // dL/dw_i = <E, expert's output> = <W2^T E, hidden> + <E, b2>, before the router weight scales E.
  gemm<T>(Op::kPlain, Op::kPlain, rows, f, d, up, d, weights.w2 + expert * d * f, f, T(0), d_hidden,
          f);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = tokens.token(stretch.begin + row) * shape.experts + expert;
    const T weight = weights.router[at];
    T *hidden_row = hidden + row * f, *d_hidden_row = d_hidden + row * f, *up_row = up + row * d;
    const T bias_share = loops.dot(d, up_row, weights.b2 + expert * d);
    T* d_z = thread_scratch<T>(5, f);
    loops.silu_backward(f, z + row * f, d_hidden_row, hidden_row, d_z);
    d_router[at] = loops.dot(f, d_hidden_row, hidden_row) + bias_share;
    loops.scale(f, weight, d_z, d_hidden_row);
    loops.scale(d, weight, up_row, up_row);
    loops.add_scaled(f, T(1), d_hidden_row, d_b1);
    loops.add_scaled(d, T(1), up_row, d_b2);
  }
  gemm<T>(Op::kTransposed, Op::kPlain, d, f, rows, up, d, hidden, f, T(0), d_w2, f);
  gemm<T>(Op::kTransposed, Op::kPlain, f, d, rows, d_hidden, f, inputs, d, T(0), d_w1, d);
  gemm<T>(Op::kPlain, Op::kPlain, rows, d, f, d_hidden, f, weights.w1 + expert * f * d, d, T(0),
          d_inputs, d);
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(d_inputs + row * d, d,
                d_pair_inputs + tokens.pair[static_cast<size_t>(stretch.begin + row)] * d);
  }
}

class StandardExpertsCpu : public torch::autograd::Function<StandardExpertsCpu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_in,
                            const at::Tensor& router_in, const at::Tensor& indices_in,
                            const at::Tensor& w1, const at::Tensor& b1, const at::Tensor& w2,
                            const at::Tensor& b2) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = x_in.contiguous(), router = router_in.contiguous(),
                     indices = indices_in.contiguous();
    const Shape shape{x.size(0), x.size(1), w1.size(1), w1.size(0), indices.size(1)};
    const ExpertTokens tokens(indices.data_ptr<int64_t>(), shape.tokens, shape.top_k, shape.experts,
                              kStretchTokens);
    at::Tensor pre_activation = at::empty({shape.pairs(), shape.hidden}, x.options());
    at::Tensor pair_outputs = at::empty({shape.pairs(), shape.d}, x.options()),
               y = at::empty_like(x);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const Weights<scalar_t> fixed{pointer(w1), pointer(b1), pointer(w2), pointer(b2),
                                    pointer(router)};
      for_each_piece(static_cast<int64_t>(tokens.stretches.size()), [&](int64_t i) {
        forward_stretch(shape, fixed, tokens, tokens.stretches[static_cast<size_t>(i)], pointer(x),
                        pointer(pre_activation), pointer(pair_outputs));
      });
      sum_pairs(shape, pointer(pair_outputs), pointer(y));
    });
    context->save_for_backward({x, router, indices, w1, b1, w2, b2, pre_activation});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &router = saved[1], &indices = saved[2], &w1 = saved[3],
                     &b1 = saved[4], &w2 = saved[5], &b2 = saved[6], &pre_activation = saved[7];
    const at::Tensor up = upstream[0].contiguous();
    const Shape shape{x.size(0), x.size(1), w1.size(1), w1.size(0), indices.size(1)};
    const ExpertTokens tokens(indices.data_ptr<int64_t>(), shape.tokens, shape.top_k, shape.experts,
                              kStretchTokens);
    const auto stretches = static_cast<int64_t>(tokens.stretches.size());
    at::Tensor d_x = at::empty_like(x), d_router = at::zeros_like(router);
    at::Tensor d_pair_inputs = at::empty({shape.pairs(), shape.d}, x.options());
    at::Tensor parts = at::empty({stretches, shape.part_size()}, x.options());
    at::Tensor sums = at::zeros({shape.experts, shape.part_size()}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const Weights<scalar_t> fixed{pointer(w1), pointer(b1), pointer(w2), pointer(b2),
                                    pointer(router)};
      for_each_piece(stretches, [&](int64_t i) {
        backward_stretch(shape, fixed, tokens, tokens.stretches[static_cast<size_t>(i)], pointer(x),
                         pointer(up), pointer(pre_activation), pointer(d_pair_inputs),
                         pointer(d_router), pointer(parts) + i * shape.part_size());
      });
      sum_pairs(shape, pointer(d_pair_inputs), pointer(d_x));
      for (int64_t i = 0; i < stretches; ++i) {
        simd_loops<scalar_t>().add_scaled(
            shape.part_size(), scalar_t(1), pointer(parts) + i * shape.part_size(),
            pointer(sums) + tokens.stretches[static_cast<size_t>(i)].expert * shape.part_size());
      }
    });
    const int64_t f = shape.hidden, d = shape.d, n = shape.experts;
    int64_t offset = 0;
    const auto take = [&](int64_t length, at::IntArrayRef size) {
      at::Tensor piece = sums.narrow(1, offset, length).reshape(size);
      offset += length;
      return piece;
    };
    const at::Tensor d_w1 = take(f * d, {n, f, d}), d_b1 = take(f, {n, f}),
                     d_w2 = take(d * f, {n, d, f}), d_b2 = take(d, {n, d});
    return {d_x, d_router, at::Tensor(), d_w1, d_b1, d_w2, d_b2};
  }
};

}  // namespace

at::Tensor standard_experts_cpu(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2) {
  return StandardExpertsCpu::apply(x, routing.weights, routing.indices, w1, b1, w2, b2);
}

}  // namespace cdsp
