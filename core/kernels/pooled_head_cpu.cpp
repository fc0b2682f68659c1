#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_pass.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/pooled_head.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_gemm.h"
#include "kernels/transposed_copy.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t batch, positions, d, classes;
  bool has_bias;
  /// Gradients of one piece: norm [d], weight [classes, d], bias [classes].
  int64_t share() const { return d + classes * d + (has_bias ? classes : 0); }
};

Shape shape_of(const at::Tensor& h, const at::Tensor& weight, const at::Tensor& bias) {
  return {h.size(0), h.size(1), h.size(2), weight.size(0), is_given(bias)};
}

/// pooled [d]: the mean over one image's tokens; row [d] is scratch.
template <typename T>
void pool_image(const Shape& shape, const T* h, const T* norm, T* row, T* pooled) {
  const auto& loops = simd_loops<T>();
  std::fill(pooled, pooled + shape.d, T(0));
  for (int64_t t = 0; t < shape.positions; ++t) {
    loops.rms_norm(shape.d, static_cast<T>(kRmsNormEpsilon), h + t * shape.d, norm, row);
    loops.add_scaled(shape.d, T(1), row, pooled);
  }
  loops.scale(shape.d, T(1) / static_cast<T>(shape.positions), pooled, pooled);
}

/// As an operation of LibTorch's autograd.
class PooledHeadFunction : public torch::autograd::Function<PooledHeadFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& h, const at::Tensor& norm,
                            const at::Tensor& weight, const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    auto& pass = new_pass<PooledHeadCpu>(context, {h, norm, weight, bias});
    return run_image_work(h.size(0), pass.forward(h, norm, weight, bias));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<PooledHeadCpu>(context);
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor gradient = at::empty({pass.parameters()}, up.options());
    const at::Tensor d_h = run_image_work(up.size(0), pass.backward(up, gradient));
    const int64_t d = d_h.size(2), classes = up.size(1);
    Slices slices(gradient);
    const at::Tensor d_norm = slices.take({d}), d_weight = slices.take({classes, d});
    return {d_h, d_norm, d_weight, slices.is_empty() ? at::Tensor() : slices.take({classes})};
  }
};

}  // namespace

ImageWork PooledHeadCpu::forward(const at::Tensor& h, const at::Tensor& norm,
                                 const at::Tensor& weight, const at::Tensor& bias) {
  h_ = h.contiguous();
  norm_ = norm.contiguous();
  weight_ = weight.contiguous();
  bias_ = bias.defined() ? bias.contiguous() : bias;
  const at::Tensor columns = transposed_copy(weight_);  // [d, classes]
  const Shape shape = shape_of(h_, weight_, bias_);
  pooled_ = at::empty({shape.batch, shape.d}, h_.options());
  ImageWork work{at::empty({shape.batch, shape.classes}, h_.options()), {}};
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "pooled_head", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const int64_t d = shape.d, classes = shape.classes;
    const scalar_t *tokens = pointer(h_), *of_norm = pointer(norm_), *w = pointer(columns);
    const auto added = same_row<scalar_t>(pointer_or_null<scalar_t>(bias_));
    scalar_t *means = pointer(pooled_), *to = pointer(work.result);
    work.images = [=, kept = columns](int64_t begin, int64_t end) {
      const auto [row] = thread_scratch<scalar_t>(d);
      for (int64_t image = begin; image < end; ++image) {
        pool_image<scalar_t>(shape, tokens + image * shape.positions * d, of_norm, row,
                             means + image * d);
      }
      tile_gemm<scalar_t>(end - begin, classes, d, plain<scalar_t>(means + begin * d, d), w,
                          classes, added, to + begin * classes, classes);
    };
  });
  return work;
}

ImageWork PooledHeadCpu::backward(const at::Tensor& upstream, const at::Tensor& gradient) const {
  const Shape shape = shape_of(h_, weight_, bias_);
  const int64_t pieces = pieces_of(shape.batch, kImagesPerPiece);
  ImageWork work{at::empty_like(h_), {}};
  const at::Tensor shares = at::empty({pieces, shape.share()}, h_.options());
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "pooled_head_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const auto& loops = simd_loops<scalar_t>();
    const int64_t d = shape.d, classes = shape.classes;
    const scalar_t *tokens = pointer(h_), *of_norm = pointer(norm_), *w = pointer(weight_),
                   *means = pointer(pooled_), *up = pointer(upstream);
    scalar_t *to = pointer(work.result), *all_shares = pointer(shares), *total = pointer(gradient);
    work.images = [=, &loops](int64_t begin, int64_t end) {
      const auto [slopes] = thread_scratch<scalar_t>(kImagesPerPiece * d);
      scalar_t* d_norm = all_shares + begin / kImagesPerPiece * shape.share();
      scalar_t *d_weight = d_norm + d, *d_bias = d_weight + classes * d;
      std::fill(d_norm, d_norm + shape.share(), scalar_t(0));
      const scalar_t* e = up + begin * classes;
      tile_gemm<scalar_t>(classes, d, end - begin, transposed(e, classes), means + begin * d, d,
                          Into::kAdd, d_weight, d);
      tile_gemm<scalar_t>(end - begin, d, classes, plain(e, classes), w, d, Into::kSet, slopes, d);
      for (int64_t i = 0; i < end - begin; ++i) {
        scalar_t* slope = slopes + i * d;
        if (shape.has_bias) loops.add_scaled(classes, scalar_t(1), e + i * classes, d_bias);
        loops.scale(d, scalar_t(1) / static_cast<scalar_t>(shape.positions), slope, slope);
        for (int64_t t = 0; t < shape.positions; ++t) {
          const int64_t at = ((begin + i) * shape.positions + t) * d;
          loops.rms_norm_backward(d, static_cast<scalar_t>(kRmsNormEpsilon), tokens + at, of_norm,
                                  slope, nullptr, to + at, d_norm);
        }
      }
    };
    work.finish = [=, kept = shares] {
      sum_shares<scalar_t>(pieces, shape.share(), all_shares, total);
    };
  });
  return work;
}

int64_t PooledHeadCpu::parameters() const { return shape_of(h_, weight_, bias_).share(); }

at::Tensor pooled_head_cpu(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                           const at::Tensor& bias) {
  if (!at::GradMode::is_enabled()) {
    PooledHeadCpu pass;
    return run_image_work(h.size(0), pass.forward(h, norm, weight, bias));
  }
  return PooledHeadFunction::apply(h, norm, weight, or_empty(bias, h));
}

}  // namespace cdsp
