#include <algorithm>
#include <array>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_pass.h"
#include "kernels/partial_sums.h"
#include "kernels/patch_embedding.h"
#include "kernels/tile_gemm.h"
#include "kernels/transposed_copy.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t batch, rows, cols, patch_size, d;
  int64_t across() const { return cols / patch_size; }
  int64_t positions() const { return (rows / patch_size) * across(); }
  int64_t patch() const { return patch_size * patch_size; }
  int64_t pieces() const { return pieces_of(batch, kImagesPerPiece); }
  int64_t share() const { return d * patch() + d; }  // gradients of weight and bias

  Shape(const at::Tensor& images, int64_t size, int64_t width)
      : batch(images.size(0)),
        rows(images.size(1)),
        cols(images.size(2)),
        patch_size(size),
        d(width) {}
};

/// What each byte means, rounded as patches_of() rounds it.
template <typename T>
const std::array<T, 256>& scaled_bytes() {
  static const std::array<T, 256> table = [] {
    std::array<T, 256> values{};
    for (size_t byte = 0; byte < values.size(); ++byte)
      values[byte] = static_cast<T>(byte) / T(127.5) - T(1);
    return values;
  }();
  return table;
}

/// One image's patches [positions, patch].
template <typename T>
void cut_patches(const Shape& shape, const uint8_t* image, T* patches) {
  const std::array<T, 256>& scaled = scaled_bytes<T>();
  for (int64_t position = 0; position < shape.positions(); ++position) {
    const int64_t top = position / shape.across() * shape.patch_size;
    const int64_t left = position % shape.across() * shape.patch_size;
    for (int64_t row = 0; row < shape.patch_size; ++row) {
      const uint8_t* from = image + (top + row) * shape.cols + left;
      for (int64_t col = 0; col < shape.patch_size; ++col) *patches++ = scaled[from[col]];
    }
  }
}

/// As an operation of LibTorch's autograd.
class PatchEmbeddingFunction : public torch::autograd::Function<PatchEmbeddingFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& images, int64_t patch_size,
                            const at::Tensor& weight, const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    auto& pass = new_pass<PatchEmbeddingCpu>(context, {images, weight, bias});
    return run_image_work(images.size(0), pass.forward(images, patch_size, weight, bias));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<PatchEmbeddingCpu>(context);
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor gradient = at::empty({pass.parameters()}, up.options());
    run_image_work(up.size(0), pass.backward(up, gradient));
    const int64_t d = up.size(2);
    Slices slices(gradient);
    const at::Tensor d_weight = slices.take(context->get_saved_variables()[1].sizes());
    return {at::Tensor(), at::Tensor(), d_weight, slices.take({d})};
  }
};

}  // namespace

ImageWork PatchEmbeddingCpu::forward(const at::Tensor& images, int64_t patch_size,
                                     const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(images.size(1) % patch_size == 0 && images.size(2) % patch_size == 0,
              "embed_patches: images of ", images.size(1), " x ", images.size(2),
              " do not divide into patches of ", patch_size);
  TORCH_CHECK(weight.size(1) == patch_size * patch_size, "embed_patches: a weight of ",
              weight.size(1), " columns for patches of ", patch_size * patch_size, " pixels");
  images_ = images.contiguous();
  patch_size_ = patch_size;
  d_ = weight.size(0);
  const Shape shape(images_, patch_size, d_);
  const at::Tensor columns = transposed_copy(weight.contiguous()),  // [patch, d]
      own_bias = bias.contiguous();
  ImageWork work{at::empty({shape.batch, shape.positions(), shape.d}, weight.options()), {}};
  AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "embed_patches", [&] {
    const int64_t positions = shape.positions(), patch = shape.patch(), d = shape.d;
    const uint8_t* pixels = images_.data_ptr<uint8_t>();
    const scalar_t *w = columns.data_ptr<scalar_t>(), *b = own_bias.data_ptr<scalar_t>();
    scalar_t* out = work.result.data_ptr<scalar_t>();
    work.images = [=, kept = std::array{columns, own_bias}](int64_t begin, int64_t end) {
      const auto [patches] = thread_scratch<scalar_t>(positions * patch);
      for (int64_t image = begin; image < end; ++image) {
        cut_patches(shape, pixels + image * shape.rows * shape.cols, patches);
        tile_gemm(positions, d, patch, plain<scalar_t>(patches, patch), w, d, same_row(b),
                  out + image * positions * d, d);
      }
    };
  });
  return work;
}

ImageWork PatchEmbeddingCpu::backward(const at::Tensor& upstream,
                                      const at::Tensor& gradient) const {
  const Shape shape(images_, patch_size_, d_);
  const at::Tensor shares = at::empty({shape.pieces(), shape.share()}, upstream.options());
  ImageWork work;
  AT_DISPATCH_FLOATING_TYPES(upstream.scalar_type(), "embed_patches_backward", [&] {
    const int64_t positions = shape.positions(), patch = shape.patch(), d = shape.d;
    const uint8_t* pixels = images_.data_ptr<uint8_t>();
    const scalar_t* e = upstream.data_ptr<scalar_t>();
    scalar_t *all_shares = shares.data_ptr<scalar_t>(), *total = gradient.data_ptr<scalar_t>();
    work.images = [=](int64_t begin, int64_t end) {
      const auto [patches] = thread_scratch<scalar_t>(positions * patch);
      scalar_t *d_weight = all_shares + begin / kImagesPerPiece * shape.share(),
               *d_bias = d_weight + d * patch;
      std::fill(d_weight, d_weight + shape.share(), scalar_t(0));
      for (int64_t image = begin; image < end; ++image) {
        cut_patches(shape, pixels + image * shape.rows * shape.cols, patches);
        const scalar_t* tokens = e + image * positions * d;
        tile_gemm(d, patch, positions, transposed(tokens, d), static_cast<const scalar_t*>(patches),
                  patch, Into::kAdd, d_weight, patch);
        for (int64_t t = 0; t < positions; ++t)
          simd_loops<scalar_t>().add_scaled(d, scalar_t(1), tokens + t * d, d_bias);
      }
    };
    work.finish = [=, kept = shares] {
      sum_shares<scalar_t>(shape.pieces(), shape.share(), all_shares, total);
    };
  });
  return work;
}

at::Tensor embed_patches_cpu(const at::Tensor& images, int64_t patch_size, const at::Tensor& weight,
                             const at::Tensor& bias) {
  if (!at::GradMode::is_enabled()) {
    PatchEmbeddingCpu pass;
    return run_image_work(images.size(0), pass.forward(images, patch_size, weight, bias));
  }
  return PatchEmbeddingFunction::apply(images, patch_size, weight, bias);
}

}  // namespace cdsp
