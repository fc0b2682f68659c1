// Tokens grouped by expert; with E = dL/dY, H = SiLU(Z) and w the router weight, the backward pass
// of an expert is
//
//   dL/dw = <E, W2 H + b2>,  dH = w W2^T E,  dZ = dH * SiLU'(Z),
//   dW2 = (w E) H^T,  dW1 = dZ X^T,  dX = W1^T dZ
#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/expert_tokens.h"
#include "kernels/optional_input.h"
#include "kernels/pair_sums.h"
#include "kernels/partial_sums.h"
#include "kernels/standard_experts.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_sizes.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t tokens, d, hidden, experts, top_k;
  int64_t pairs() const { return tokens * top_k; }
  /// Parameter gradients of one stretch: w1 [f, d], b1 [f], w2 [d, f], b2 [d].
  int64_t share() const { return 2 * hidden * d + hidden + d; }
};

template <typename T>
struct Weights {
  const T *w1, *w2;  // w1^T [N, d, f] and w2^T [N, f, d] forward; as they are backward
  const T *b1, *b2, *router;
};

/// A tile of tokens on its way through one expert.
template <typename T>
struct Tile {
  T *inputs, *z, *hidden;  // [tile, d], [tile, f] twice
};

/// z [pairs, f] where it is to be kept, else null; outputs [pairs, d] and their router weights
/// [pairs]. All in the order of `tokens`.
template <typename T>
void forward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                     const TokenStretch& stretch, const T* x, const Tile<T>& tile, T* kept_z,
                     T* outputs, T* strengths) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, f = shape.hidden, expert = stretch.expert;
  T *inputs = tile.inputs, *hidden = tile.hidden;
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += kTileTokens) {
    const int64_t rows = std::min(kTileTokens, stretch.end - begin);
    T *z = kept_z == nullptr ? tile.z : kept_z + begin * f, *out = outputs + begin * d;
    loops.gather_rows(rows, d, tokens.tokens_from(begin), x, inputs);
    for (int64_t i = begin; i < begin + rows; ++i)
      strengths[i] = weights.router[tokens.token(i) * shape.experts + expert];
    tile_gemm(rows, f, d, plain<T>(inputs, d), weights.w1 + expert * f * d, f,
              same_row(weights.b1 + expert * f), z, f);
    // Row by row, so that a number's place in its row alone decides how it is rounded: a row's last
    // ones, which fill no register, have an exponential of their own.
    for (int64_t i = 0; i < rows; ++i) loops.silu(f, z + i * f, hidden + i * f);
    tile_gemm(rows, d, f, plain<T>(hidden, f), weights.w2 + expert * f * d, d,
              same_row(weights.b2 + expert * d), out, d);
  }
}

/// y of the tokens from `begin` on, `count` of them, for which nothing is kept: what their experts
/// give stays in the cache.
template <typename T>
void forward_block(const Shape& shape, const Weights<T>& weights, const int64_t* indices,
                   int64_t begin, int64_t count, const T* x, const T* residual, T* y) {
  const int64_t d = shape.d, f = shape.hidden, k = shape.top_k, at = begin * d;
  const ExpertTokens tokens(indices + begin * k, count, k, shape.experts, count * k);
  const auto [inputs, z, hidden, outputs, strengths] = thread_scratch<T>(
      kTileTokens * d, kTileTokens * f, kTileTokens * f, count * k * d, count * k);
  Weights<T> of_block = weights;
  of_block.router += begin * shape.experts;
  const Tile<T> tile{inputs, z, hidden};
  for (const TokenStretch& stretch : tokens.stretches)
    forward_stretch<T>(shape, of_block, tokens, stretch, x + at, tile, nullptr, outputs, strengths);
  sum_pairs_of<T>(tokens, 0, count, k, d, outputs, strengths,
                  residual == nullptr ? nullptr : residual + at, y + at);
}

/// Input gradients per pair in the order of `tokens`, router gradients, and this stretch's share of
/// the parameters'.
template <typename T>
void backward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                      const TokenStretch& stretch, const T* x, const T* upstream, const T* kept_z,
                      T* d_inputs, T* d_router, T* share) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, f = shape.hidden, expert = stretch.expert;
  const auto [inputs, e, hidden, d_z] =
      thread_scratch<T>(kTileTokens * d, kTileTokens * d, kTileTokens * f, kTileTokens * f);
  T *d_w1 = share, *d_b1 = d_w1 + f * d, *d_w2 = d_b1 + f, *d_b2 = d_w2 + d * f;
  std::fill(share, share + shape.share(), T(0));
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += kTileTokens) {
    const int64_t rows = std::min(kTileTokens, stretch.end - begin);
    loops.gather_rows(rows, d, tokens.tokens_from(begin), x, inputs);
    loops.gather_rows(rows, d, tokens.tokens_from(begin), upstream, e);
    tile_gemm(rows, f, d, plain<T>(e, d), weights.w2 + expert * d * f, f, Into::kSet, d_z, f);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = tokens.token(begin + i) * shape.experts + expert;
      const T weight = weights.router[at];
      d_router[at] = loops.dot(d, e + i * d, weights.b2 + expert * d) +
                     loops.scaled_silu_backward(f, weight, kept_z + (begin + i) * f, hidden + i * f,
                                                d_z + i * f);
      loops.scale(d, weight, e + i * d, e + i * d);
      loops.add_scaled(f, T(1), d_z + i * f, d_b1);
      loops.add_scaled(d, T(1), e + i * d, d_b2);
    }
    tile_gemm(d, f, rows, transposed<T>(e, d), static_cast<const T*>(hidden), f, Into::kAdd, d_w2,
              f);
    tile_gemm(f, d, rows, transposed<T>(d_z, f), static_cast<const T*>(inputs), d, Into::kAdd, d_w1,
              d);
    tile_gemm(rows, d, f, plain<T>(d_z, f), weights.w1 + expert * f * d, d, Into::kSet,
              d_inputs + begin * d, d);
  }
}

class StandardExpertsCpu : public torch::autograd::Function<StandardExpertsCpu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual,
                            const at::Tensor& x_in, const at::Tensor& router_in,
                            const at::Tensor& indices_in, const at::Tensor& w1,
                            const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                            bool keep) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = x_in.contiguous(), router = router_in.contiguous(),
                     indices = indices_in.contiguous();
    const Shape shape{x.size(0), x.size(1), w1.size(1), w1.size(0), indices.size(1)};
    const int64_t* index = indices.data_ptr<int64_t>();
    const at::Tensor w1_columns = w1.transpose(1, 2).contiguous(),
                     w2_columns = w2.transpose(1, 2).contiguous();
    at::Tensor y = at::empty_like(x), z;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const Weights<scalar_t> weights{pointer(w1_columns), pointer(w2_columns), pointer(b1),
                                      pointer(b2), pointer(router)};
      const scalar_t* base = pointer_or_null<scalar_t>(residual);
      if (!keep) {
        for_each_piece(pieces_of(shape.tokens, kBlockTokens), [&](int64_t piece) {
          const int64_t begin = piece * kBlockTokens;
          forward_block<scalar_t>(shape, weights, index, begin,
                                  std::min(kBlockTokens, shape.tokens - begin), pointer(x), base,
                                  pointer(y));
        });
        return;
      }
      const ExpertTokens tokens(index, shape.tokens, shape.top_k, shape.experts, kStretchTokens);
      const at::Tensor outputs = at::empty({shape.pairs(), shape.d}, x.options()),
                       strengths = at::empty({shape.pairs()}, x.options());
      z = at::empty({shape.pairs(), shape.hidden}, x.options());
      for_each_piece(static_cast<int64_t>(tokens.stretches.size()), [&](int64_t i) {
        const auto [inputs, hidden] =
            thread_scratch<scalar_t>(kTileTokens * shape.d, kTileTokens * shape.hidden);
        forward_stretch<scalar_t>(shape, weights, tokens, tokens.stretches[static_cast<size_t>(i)],
                                  pointer(x), {inputs, nullptr, hidden}, pointer(z),
                                  pointer(outputs), pointer(strengths));
      });
      sum_pairs<scalar_t>(tokens, shape.tokens, shape.top_k, shape.d, pointer(outputs),
                          pointer(strengths), base, pointer(y));
    });
    context->save_for_backward({x, router, indices, w1, b1, w2, b2, z});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &router = saved[1], &indices = saved[2], &w1 = saved[3],
                     &b1 = saved[4], &w2 = saved[5], &b2 = saved[6], &z = saved[7];
    const at::Tensor up = upstream[0].contiguous();
    const Shape shape{x.size(0), x.size(1), w1.size(1), w1.size(0), indices.size(1)};
    const ExpertTokens tokens(indices.data_ptr<int64_t>(), shape.tokens, shape.top_k, shape.experts,
                              kStretchTokens);
    const auto stretches = static_cast<int64_t>(tokens.stretches.size());
    at::Tensor d_x = at::empty_like(x), d_router = at::zeros_like(router);
    const at::Tensor d_inputs = at::empty({shape.pairs(), shape.d}, x.options());
    const at::Tensor shares = at::empty({stretches, shape.share()}, x.options());
    const at::Tensor sums = at::zeros({shape.experts, shape.share()}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "standard_experts_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const Weights<scalar_t> weights{pointer(w1), pointer(w2), pointer(b1), pointer(b2),
                                      pointer(router)};
      for_each_piece(stretches, [&](int64_t i) {
        backward_stretch<scalar_t>(shape, weights, tokens, tokens.stretches[static_cast<size_t>(i)],
                                   pointer(x), pointer(up), pointer(z), pointer(d_inputs),
                                   pointer(d_router), pointer(shares) + i * shape.share());
      });
      sum_pairs<scalar_t>(tokens, shape.tokens, shape.top_k, shape.d, pointer(d_inputs), nullptr,
                          nullptr, pointer(d_x));
      for_each_piece(shape.experts, [&](int64_t expert) {
        for (int64_t i = 0; i < stretches; ++i) {
          if (tokens.stretches[static_cast<size_t>(i)].expert != expert) continue;
          simd_loops<scalar_t>().add_scaled(shape.share(), scalar_t(1),
                                            pointer(shares) + i * shape.share(),
                                            pointer(sums) + expert * shape.share());
        }
      });
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
    return {up, d_x, d_router, at::Tensor(), d_w1, d_b1, d_w2, d_b2, at::Tensor()};
  }
};

}  // namespace

at::Tensor standard_experts_cpu(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                                const at::Tensor& residual) {
  return StandardExpertsCpu::apply(or_empty(residual, x), x, routing.weights, routing.indices,
                                   w1.contiguous(), b1.contiguous(), w2.contiguous(),
                                   b2.contiguous(), at::GradMode::is_enabled());
}

}  // namespace cdsp
