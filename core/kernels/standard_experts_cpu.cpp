// Tokens grouped by expert; with E = dL/dY, H = SiLU(Z) and w the router weight, the backward pass
// of an expert is
//
//   dL/dw = <E, W2 H + b2>,  dH = w W2^T E,  dZ = dH * SiLU'(Z),
//   dW2 = E (w H)^T,  dW1 = dZ X^T,  dX = W1^T dZ
#include <algorithm>
#include <array>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_pass.h"
#include "kernels/expert_tokens.h"
#include "kernels/optional_input.h"
#include "kernels/pair_sums.h"
#include "kernels/partial_sums.h"
#include "kernels/standard_experts.h"
#include "kernels/tile_gemm.h"
#include "kernels/tile_sizes.h"
#include "kernels/token_blocks.h"
#include "kernels/transposed_copy.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t tokens, d, hidden, experts, top_k;
  int64_t pairs() const { return tokens * top_k; }
  TokenBlocks blocks() const { return {tokens, top_k, experts}; }
  /// Gradients of all parameters: w1 [N, f, d], b1 [N, f], w2 [N, d, f], b2 [N, d].
  int64_t share() const { return experts * (2 * hidden * d + hidden + d); }
};

template <typename T>
struct Weights {
  const T *w1, *w2;  // w1^T [N, d, f] and w2^T [N, f, d] forward; as they are backward
  const T *b1, *b2, *router;
  /// The same for the tokens from `token` on.
  Weights from(int64_t token, const Shape& shape) const {
    return {w1, w2, b1, b2, router + token * shape.experts};
  }
};

/// Tokens on their way through one expert: scratch of one tile.
template <typename T>
struct Tile {
  T *z, *hidden;  // [tile, f]
};

/// z [pairs, f] where it is to be kept, else null; outputs [pairs, d] and their router weights
/// [pairs]. All in the order of `tokens`.
template <typename T>
void forward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                     const TokenStretch& stretch, const T* x, const Tile<T>& tile, T* kept_z,
                     T* outputs, T* strengths) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, f = shape.hidden, expert = stretch.expert;
  T* hidden = tile.hidden;
  const int64_t tile_rows = even_tile_rows(stretch.tokens());
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += tile_rows) {
    const int64_t rows = std::min(tile_rows, stretch.end - begin);
    T *z = kept_z == nullptr ? tile.z : kept_z + begin * f, *out = outputs + begin * d;
    for (int64_t i = begin; i < begin + rows; ++i)
      strengths[i] = weights.router[tokens.token(i) * shape.experts + expert];
    tile_gemm(rows, f, d, listed(x, d, tokens.tokens_from(begin)), weights.w1 + expert * f * d, f,
              same_row(weights.b1 + expert * f), z, f);
    // Row by row, so that a number's place in its row alone decides how it is rounded: a row's last
    // ones, which fill no register, have an exponential of their own.
    for (int64_t i = 0; i < rows; ++i) loops.silu(f, z + i * f, hidden + i * f);
    tile_gemm(rows, d, f, plain<T>(hidden, f), weights.w2 + expert * f * d, d,
              same_row(weights.b2 + expert * d), out, d);
  }
}

/// y of the tokens of `block`, which go through all their experts together.
template <typename T>
void forward_block(const Shape& shape, const Weights<T>& weights, const int64_t* indices,
                   const TokenBlock& block, const T* x, const T* residual, T* kept_z, T* y) {
  const int64_t d = shape.d, f = shape.hidden, k = shape.top_k, at = block.begin * d;
  const int64_t pairs = block.count * k;
  const ExpertTokens tokens(indices + block.begin * k, block.count, k, shape.experts);
  const auto [z, hidden, outputs, strengths] =
      thread_scratch<T>(kTileTokens * f, kTileTokens * f, pairs * d, pairs);
  T* own_z = kept_z == nullptr ? nullptr : kept_z + block.begin * k * f;
  for (const TokenStretch& stretch : tokens.stretches) {
    forward_stretch<T>(shape, weights.from(block.begin, shape), tokens, stretch, x + at,
                       {z, hidden}, own_z, outputs, strengths);
  }
  sum_pairs<T>(tokens, block.count, k, d, outputs, strengths,
               residual == nullptr ? nullptr : residual + at, y + at);
}

/// Scratch of the way back: of one tile, and the block's input gradients [pairs, d] in the order of
/// its tokens.
template <typename T>
struct BackwardScratch {
  T *hidden, *d_z;  // [tile, f]
  T* d_inputs;
};

/// Gradients of one expert's parameters.
template <typename T>
struct ExpertShare {
  T *w1, *b1, *w2, *b2;
  ExpertShare(const Shape& shape, int64_t expert, T* share) {
    const int64_t n = shape.experts, d = shape.d, f = shape.hidden;
    w1 = share + expert * f * d;
    b1 = share + n * f * d + expert * f;
    w2 = share + n * (f * d + f) + expert * d * f;
    b2 = share + n * (f * d + f + d * f) + expert * d;
  }
};

/// Input gradients per pair in the order of `tokens`, router gradients, and what is added to this
/// expert's part of a share.
template <typename T>
void backward_stretch(const Shape& shape, const Weights<T>& weights, const ExpertTokens& tokens,
                      const TokenStretch& stretch, const T* x, const T* upstream, const T* kept_z,
                      const BackwardScratch<T>& scratch, T* d_router, const ExpertShare<T>& share) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, f = shape.hidden, expert = stretch.expert;
  const auto& [hidden, d_z, d_inputs] = scratch;
  std::array<const T*, kTileTokens> z_rows, e_rows;
  std::array<T, kTileTokens> strengths;
  const int64_t tile_rows = even_tile_rows(stretch.tokens());
  for (int64_t begin = stretch.begin; begin < stretch.end; begin += tile_rows) {
    const int64_t rows = std::min(tile_rows, stretch.end - begin);
    const int64_t* token = tokens.tokens_from(begin);
    tile_gemm(rows, f, d, listed(upstream, d, token), weights.w2 + expert * d * f, f, Into::kSet,
              d_z, f);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = token[i] * shape.experts + expert;
      const T weight = weights.router[at], *e = upstream + token[i] * d;
      d_router[at] = loops.dot(d, e, weights.b2 + expert * d) +
                     loops.scaled_silu_backward(f, weight, kept_z + (begin + i) * f, hidden + i * f,
                                                d_z + i * f);
      const auto row = static_cast<size_t>(i);
      strengths[row] = weight;
      z_rows[row] = d_z + i * f;
      e_rows[row] = e;
    }
    loops.sum_rows(f, rows, share.b1, nullptr, z_rows.data(), share.b1);
    loops.sum_rows(d, rows, share.b2, strengths.data(), e_rows.data(), share.b2);
    tile_gemm(d, f, rows, listed_transposed(upstream, d, token), static_cast<const T*>(hidden), f,
              Into::kAdd, share.w2, f);
    transposed_times_listed(f, d, rows, static_cast<const T*>(d_z), f, x, d, token, Into::kAdd,
                            share.w1, d);
    tile_gemm(rows, d, f, plain<T>(d_z, f), weights.w1 + expert * f * d, d, Into::kSet,
              d_inputs + begin * d, d);
  }
}

/// Adds this block's part of the parameters' gradients to share [share()].
template <typename T>
void backward_block(const Shape& shape, const Weights<T>& weights, const int64_t* indices,
                    const TokenBlock& block, const T* x, const T* upstream, const T* kept_z,
                    T* d_router, T* d_x, T* share) {
  const int64_t d = shape.d, f = shape.hidden, k = shape.top_k, at = block.begin * d;
  T* own_d_router = d_router + block.begin * shape.experts;
  std::fill_n(own_d_router, block.count * shape.experts, T(0));
  const ExpertTokens tokens(indices + block.begin * k, block.count, k, shape.experts);
  const auto [hidden, d_z, d_inputs] =
      thread_scratch<T>(kTileTokens * f, kTileTokens * f, block.count * k * d);
  for (const TokenStretch& stretch : tokens.stretches) {
    backward_stretch<T>(shape, weights.from(block.begin, shape), tokens, stretch, x + at,
                        upstream + at, kept_z + block.begin * k * f, {hidden, d_z, d_inputs},
                        own_d_router, {shape, stretch.expert, share});
  }
  sum_pairs<T>(tokens, block.count, k, d, d_inputs, nullptr, nullptr, d_x + at);
}

Shape shape_of(const at::Tensor& x, const at::Tensor& indices, const at::Tensor& w1) {
  return {x.size(0), x.size(1), w1.size(1), w1.size(0), indices.size(1)};
}

/// As an operation of LibTorch's autograd.
class StandardExpertsFunction : public torch::autograd::Function<StandardExpertsFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual,
                            const at::Tensor& x, const at::Tensor& router,
                            const at::Tensor& indices, const at::Tensor& w1, const at::Tensor& b1,
                            const at::Tensor& w2, const at::Tensor& b2) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    return new_pass<StandardExpertsCpu>(context, {residual, x, router, indices, w1, b1, w2, b2})
        .forward(x, {indices, router, {}, {}}, w1, b1, w2, b2, residual, /*keep=*/true);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<StandardExpertsCpu>(context);
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor gradient = at::empty({pass.parameters()}, up.options());
    const RoutedGradients of_tokens = pass.backward(up, gradient);
    const at::Tensor w1 = context->get_saved_variables()[4];
    const int64_t n = w1.size(0), f = w1.size(1), d = w1.size(2);
    Slices slices(gradient);
    const at::Tensor d_w1 = slices.take({n, f, d}), d_b1 = slices.take({n, f}),
                     d_w2 = slices.take({n, d, f}), d_b2 = slices.take({n, d});
    return {
        of_tokens.residual, of_tokens.x, of_tokens.weights, at::Tensor(), d_w1, d_b1, d_w2, d_b2};
  }
};

}  // namespace

at::Tensor StandardExpertsCpu::forward(const at::Tensor& x, const Routing& routing,
                                       const at::Tensor& w1, const at::Tensor& b1,
                                       const at::Tensor& w2, const at::Tensor& b2,
                                       const at::Tensor& residual, bool keep) {
  x_ = x.contiguous();
  router_ = routing.weights.contiguous();
  indices_ = routing.indices.contiguous();
  w1_ = w1.contiguous();
  b1_ = b1.contiguous();
  w2_ = w2.contiguous();
  b2_ = b2.contiguous();
  const at::Tensor base = is_given(residual) ? residual.contiguous() : at::Tensor();
  const Shape shape = shape_of(x_, indices_, w1_);
  const at::Tensor w1_columns = transposed_copy(w1_), w2_columns = transposed_copy(w2_);
  at::Tensor y = at::empty_like(x_);
  if (keep) z_ = at::empty({shape.pairs(), shape.hidden}, x_.options());
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "standard_experts", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const Weights<scalar_t> weights{pointer(w1_columns), pointer(w2_columns), pointer(b1_),
                                    pointer(b2_), pointer(router_)};
    const scalar_t *from = pointer(x_), *before = pointer_or_null<scalar_t>(base);
    scalar_t *z = pointer_or_null<scalar_t>(z_), *to = pointer(y);
    const int64_t* index = indices_.data_ptr<int64_t>();
    shape.blocks().for_each([&](const TokenBlock& block) {
      forward_block<scalar_t>(shape, weights, index, block, from, before, z, to);
    });
  });
  return y;
}

RoutedGradients StandardExpertsCpu::backward(const at::Tensor& upstream,
                                             const at::Tensor& gradient) const {
  const Shape shape = shape_of(x_, indices_, w1_);
  const TokenBlocks blocks = shape.blocks();
  const at::Tensor shares = at::empty({blocks.shares(), shape.share()}, x_.options());
  at::Tensor d_x = at::empty_like(x_), d_router = at::empty_like(router_);
  AT_DISPATCH_FLOATING_TYPES(x_.scalar_type(), "standard_experts_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const Weights<scalar_t> weights{pointer(w1_), pointer(w2_), pointer(b1_), pointer(b2_),
                                    pointer(router_)};
    const scalar_t *x = pointer(x_), *up = pointer(upstream), *z = pointer_or_null<scalar_t>(z_);
    scalar_t *to_x = pointer(d_x), *to_router = pointer(d_router), *all_shares = pointer(shares);
    const int64_t* index = indices_.data_ptr<int64_t>();
    blocks.for_each_of_share([&](int64_t i, const TokenBlock& block, bool is_first) {
      scalar_t* share = all_shares + i * shape.share();
      if (is_first) std::fill_n(share, shape.share(), scalar_t(0));
      backward_block<scalar_t>(shape, weights, index, block, x, up, z, to_router, to_x, share);
    });
    sum_shares<scalar_t>(blocks.shares(), shape.share(), all_shares, pointer(gradient));
  });
  return {upstream, d_x, d_router, {}};
}

int64_t StandardExpertsCpu::parameters() const { return shape_of(x_, indices_, w1_).share(); }

at::Tensor standard_experts_cpu(const at::Tensor& x, const Routing& routing, const at::Tensor& w1,
                                const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                                const at::Tensor& residual) {
  if (!at::GradMode::is_enabled())
    return StandardExpertsCpu().forward(x, routing, w1, b1, w2, b2, residual, /*keep=*/false);
  return StandardExpertsFunction::apply(or_empty(residual, x), x, routing.weights, routing.indices,
                                        w1, b1, w2, b2);
}

}  // namespace cdsp
