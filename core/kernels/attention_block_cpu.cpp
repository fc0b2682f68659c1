#include <algorithm>
#include <array>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/attention_block.h"
#include "kernels/cpu_pass.h"
#include "kernels/image_attention.h"
#include "kernels/partial_sums.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_gemm.h"
#include "kernels/transposed_copy.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Weight gradients of one piece: norm [d], (Wq, Wk, Wv) [width, d], Wo [d, d].
int64_t share_size(const AttentionShape& shape) {
  return (shape.width() + shape.d() + 1) * shape.d();
}

template <typename T>
void normalise(const AttentionShape& shape, const T* h, const T* norm, T* x) {
  const int64_t d = shape.d();
  for (int64_t t = 0; t < shape.positions; ++t)
    simd_loops<T>().rms_norm(d, static_cast<T>(kRmsNormEpsilon), h + t * d, norm, x + t * d);
}

/// Turns q and k of every token, forward (sign 1) or back (-1).
template <typename T>
void turn(const AttentionShape& shape, const T* turns, T sign, T* qkv) {
  for (int64_t t = 0; t < shape.positions; ++t) {
    simd_loops<T>().rotate(shape.heads + shape.kv_heads, shape.d_head, turns + t * shape.d_head,
                           sign, qkv + t * shape.width());
  }
}

template <typename T>
struct ForwardWeights {
  const T *norm, *qkv_columns, *wo_columns, *turns;  // [d, width] and [d, d]: transposed
};

/// One image. qkv, mixed and statistics are kept for the backward pass.
template <typename T>
void forward_image(const AttentionShape& shape, const ForwardWeights<T>& weights, const T* h,
                   T* qkv, T* mixed, T* statistics, T* x, T* scratch, T* y) {
  const int64_t positions = shape.positions, d = shape.d(), width = shape.width();
  normalise(shape, h, weights.norm, x);
  tile_gemm(positions, width, d, plain<T>(x, d), weights.qkv_columns, width, Into::kSet, qkv,
            width);
  turn(shape, weights.turns, T(1), qkv);
  ImageAttention<T>(shape).forward(qkv, scratch, mixed, statistics);
  tile_gemm(positions, d, d, plain<T>(mixed, d), weights.wo_columns, d, Addend<T>{h, d}, y, d);
}

template <typename T>
struct BackwardWeights {
  const T *norm, *qkv, *wo, *turns;  // [width, d] and [d, d]
};

template <typename T>
struct KeptImage {
  const T *h, *qkv, *mixed, *statistics;
};

/// One image's input gradient; its share of the weights' is set in `share` or added to it, except
/// that of the norm, which is always added.
template <typename T>
void backward_image(const AttentionShape& shape, const BackwardWeights<T>& weights,
                    const KeptImage<T>& kept, const T* upstream, T* x, T* d_tokens, T* d_qkv,
                    T* scratch, T* d_h, Into into, T* share) {
  const int64_t positions = shape.positions, d = shape.d(), width = shape.width();
  T *d_norm = share, *d_wqkv = d_norm + d, *d_wo = d_wqkv + width * d;
  tile_gemm(d, d, positions, transposed(upstream, d), kept.mixed, d, into, d_wo, d);
  tile_gemm(positions, d, d, plain(upstream, d), weights.wo, d, Into::kSet, d_tokens, d);
  ImageAttention<T>(shape).backward(kept.qkv, kept.statistics, d_tokens, scratch, d_qkv);
  turn(shape, weights.turns, T(-1), d_qkv);
  normalise(shape, kept.h, weights.norm, x);
  tile_gemm(width, d, positions, transposed<T>(d_qkv, width), static_cast<const T*>(x), d, into,
            d_wqkv, d);
  tile_gemm(positions, d, width, plain<T>(d_qkv, width), weights.qkv, d, Into::kSet, d_tokens, d);
  for (int64_t t = 0; t < positions; ++t) {
    simd_loops<T>().rms_norm_backward(d, static_cast<T>(kRmsNormEpsilon), kept.h + t * d,
                                      weights.norm, d_tokens + t * d, upstream + t * d, d_h + t * d,
                                      d_norm);
  }
}

AttentionShape shape_of(const at::Tensor& h, int64_t heads, int64_t kv_heads) {
  return {h.size(0), h.size(1), heads, kv_heads, h.size(2) / heads};
}

/// As an operation of LibTorch's autograd.
class AttentionBlockFunction : public torch::autograd::Function<AttentionBlockFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& h, const at::Tensor& norm,
                            const at::Tensor& wq, const at::Tensor& wk, const at::Tensor& wv,
                            const at::Tensor& wo, const at::Tensor& turns, int64_t heads,
                            int64_t kv_heads) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    auto& pass = new_pass<AttentionBlockCpu>(context, {h, norm, wq, wk, wv, wo});
    return run_image_work(
        h.size(0), pass.forward(h, {norm, wq, wk, wv, wo}, {heads, kv_heads, turns, {}}, true));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<AttentionBlockCpu>(context);
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor gradient = at::empty({pass.parameters()}, up.options());
    const at::Tensor d_h = run_image_work(up.size(0), pass.backward(up, gradient));
    const int64_t d = up.size(2), kv = context->get_saved_variables()[3].size(0);
    Slices slices(gradient);
    const at::Tensor d_norm = slices.take({d}), d_wq = slices.take({d, d}),
                     d_wk = slices.take({kv, d}), d_wv = slices.take({kv, d});
    return {d_h,          d_norm,       d_wq,        d_wk, d_wv, slices.take({d, d}),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

ImageWork AttentionBlockCpu::forward(const at::Tensor& h_in, const AttentionWeights& weights,
                                     const AttentionLayout& layout, bool keep) {
  TORCH_CHECK(layout.turns.size(0) == h_in.size(1), "attention_block: ", h_in.size(1),
              " positions, but rotary turns of ", layout.turns.size(0));
  heads_ = layout.heads;
  kv_heads_ = layout.kv_heads;
  h_ = h_in.contiguous();
  norm_ = weights.norm.contiguous();
  wqkv_ = at::cat({weights.wq, weights.wk, weights.wv});
  wo_ = weights.wo.contiguous();
  turns_ = at::view_as_real(layout.turns).contiguous();
  const AttentionShape shape = shape_of(h_, heads_, kv_heads_);
  const at::Tensor qkv_columns = transposed_copy(wqkv_), wo_columns = transposed_copy(wo_);
  // What the backward pass needs of every image; without one, a thread's scratch is enough.
  const int64_t kept_images = keep ? shape.batch : 0;
  ImageWork work{at::empty_like(h_), {}};
  qkv_ = at::empty({kept_images, shape.positions, shape.width()}, h_.options());
  mixed_ = at::empty({kept_images, shape.positions, shape.d()}, h_.options());
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "attention_block", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const ForwardWeights<scalar_t> pointers{pointer(norm_), pointer(qkv_columns),
                                            pointer(wo_columns), pointer(turns_)};
    const ImageAttention<scalar_t> attention(shape);
    const int64_t tokens = shape.positions * shape.d(), qkv_size = shape.positions * shape.width(),
                  statistics_size = attention.statistics();
    statistics_ = at::empty({kept_images, statistics_size}, h_.options());
    const scalar_t* from = pointer(h_);
    scalar_t *to = pointer(work.result), *all_qkv = pointer(qkv_), *all_mixed = pointer(mixed_),
             *all_statistics = pointer(statistics_);
    // The transposed weights must last as long as the work.
    work.images = [=, columns = std::array{qkv_columns, wo_columns}](int64_t begin, int64_t end) {
      const ImageAttention<scalar_t> own_attention(shape);
      const auto [x, scratch, own_qkv, own_mixed, own_statistics] = thread_scratch<scalar_t>(
          tokens, own_attention.forward_scratch(), qkv_size, tokens, statistics_size);
      for (int64_t i = begin; i < end; ++i) {
        forward_image(shape, pointers, from + i * tokens, keep ? all_qkv + i * qkv_size : own_qkv,
                      keep ? all_mixed + i * tokens : own_mixed,
                      keep ? all_statistics + i * statistics_size : own_statistics, x, scratch,
                      to + i * tokens);
      }
    };
  });
  return work;
}

ImageWork AttentionBlockCpu::backward(const at::Tensor& upstream,
                                      const at::Tensor& gradient) const {
  const AttentionShape shape = shape_of(h_, heads_, kv_heads_);
  const int64_t pieces = pieces_of(shape.batch, kImagesPerPiece), d = shape.d();
  ImageWork work{at::empty_like(h_), {}};
  const at::Tensor shares = at::empty({pieces, share_size(shape)}, h_.options());
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "attention_block_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const BackwardWeights<scalar_t> weights{pointer(norm_), pointer(wqkv_), pointer(wo_),
                                            pointer(turns_)};
    const int64_t tokens = shape.positions * d, qkv_size = shape.positions * shape.width();
    const KeptImage<scalar_t> first{pointer(h_), pointer(qkv_), pointer(mixed_),
                                    pointer(statistics_)};
    const scalar_t* up = pointer(upstream);
    scalar_t *to = pointer(work.result), *all_shares = pointer(shares), *total = pointer(gradient);
    work.images = [=](int64_t begin, int64_t end) {
      const ImageAttention<scalar_t> attention(shape);
      const auto [x, d_tokens, d_qkv, scratch] =
          thread_scratch<scalar_t>(tokens, tokens, qkv_size, attention.backward_scratch());
      scalar_t* share = all_shares + begin / kImagesPerPiece * share_size(shape);
      std::fill(share, share + d, scalar_t(0));  // of the norm
      for (int64_t i = begin; i < end; ++i) {
        const KeptImage<scalar_t> kept{first.h + i * tokens, first.qkv + i * qkv_size,
                                       first.mixed + i * tokens,
                                       first.statistics + i * attention.statistics()};
        backward_image(shape, weights, kept, up + i * tokens, x, d_tokens, d_qkv, scratch,
                       to + i * tokens, i == begin ? Into::kSet : Into::kAdd, share);
      }
    };
    work.finish = [=, kept = shares] {
      sum_shares<scalar_t>(pieces, share_size(shape), all_shares, total);
    };
  });
  return work;
}

int64_t AttentionBlockCpu::parameters() const {
  return share_size(shape_of(h_, heads_, kv_heads_));
}

at::Tensor attention_block_cpu(const at::Tensor& h, const AttentionWeights& weights,
                               const AttentionLayout& layout) {
  if (!at::GradMode::is_enabled()) {
    AttentionBlockCpu pass;
    return run_image_work(h.size(0), pass.forward(h, weights, layout, /*keep=*/false));
  }
  return AttentionBlockFunction::apply(h, weights.norm, weights.wq, weights.wk, weights.wv,
                                       weights.wo, layout.turns, layout.heads, layout.kv_heads);
}

}  // namespace cdsp
