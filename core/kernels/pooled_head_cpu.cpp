#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/pooled_head.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_gemm.h"
#include "kernels/transposed_copy.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kImagesPerPiece = 8;

struct Shape {
  int64_t batch, positions, d, classes;
  /// Gradients of one piece: norm [d], weight [classes, d], bias [classes].
  int64_t share() const { return d + classes * d + classes; }
};

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

class PooledHeadCpu : public torch::autograd::Function<PooledHeadCpu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& norm, const at::Tensor& weight,
                            const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor h = input.contiguous(), columns = transposed_copy(weight);  // [d, classes]
    const Shape shape{h.size(0), h.size(1), h.size(2), weight.size(0)};
    at::Tensor pooled = at::empty({shape.batch, shape.d}, h.options());
    at::Tensor logits = at::empty({shape.batch, shape.classes}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "pooled_head", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const int64_t d = shape.d, classes = shape.classes;
      for_each_piece(pieces_of(shape.batch, kImagesPerPiece), [&](int64_t piece) {
        const auto [row] = thread_scratch<scalar_t>(d);
        const int64_t begin = piece * kImagesPerPiece,
                      end = std::min(shape.batch, begin + kImagesPerPiece);
        for (int64_t image = begin; image < end; ++image) {
          pool_image<scalar_t>(shape, pointer(h) + image * shape.positions * d, pointer(norm), row,
                               pointer(pooled) + image * d);
        }
        tile_gemm<scalar_t>(end - begin, classes, d,
                            plain<scalar_t>(pointer(pooled) + begin * d, d), pointer(columns),
                            classes, same_row(pointer_or_null<scalar_t>(bias)),
                            pointer(logits) + begin * classes, classes);
      });
    });
    context->save_for_backward({h, norm, weight, pooled});
    return logits;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &h = saved[0], &norm = saved[1], &weight = saved[2], &pooled = saved[3];
    const at::Tensor up = upstream[0].contiguous();
    const Shape shape{h.size(0), h.size(1), h.size(2), weight.size(0)};
    const int64_t pieces = pieces_of(shape.batch, kImagesPerPiece);
    at::Tensor d_h = at::empty_like(h), total = at::empty({shape.share()}, h.options());
    const at::Tensor shares = at::zeros({pieces, shape.share()}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "pooled_head_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const auto& loops = simd_loops<scalar_t>();
      const int64_t d = shape.d, classes = shape.classes;
      for_each_piece(pieces, [&](int64_t piece) {
        const auto [slopes] = thread_scratch<scalar_t>(kImagesPerPiece * d);
        const int64_t begin = piece * kImagesPerPiece,
                      end = std::min(shape.batch, begin + kImagesPerPiece);
        scalar_t* d_norm = pointer(shares) + piece * shape.share();
        scalar_t *d_weight = d_norm + d, *d_bias = d_weight + classes * d;
        const scalar_t* e = pointer(up) + begin * classes;
        tile_gemm<scalar_t>(classes, d, end - begin, transposed(e, classes),
                            pointer(pooled) + begin * d, d, Into::kAdd, d_weight, d);
        tile_gemm<scalar_t>(end - begin, d, classes, plain(e, classes), pointer(weight), d,
                            Into::kSet, slopes, d);
        for (int64_t i = 0; i < end - begin; ++i) {
          scalar_t* slope = slopes + i * d;
          loops.add_scaled(classes, scalar_t(1), e + i * classes, d_bias);
          loops.scale(d, scalar_t(1) / static_cast<scalar_t>(shape.positions), slope, slope);
          for (int64_t t = 0; t < shape.positions; ++t) {
            const int64_t at = ((begin + i) * shape.positions + t) * d;
            loops.rms_norm_backward(d, static_cast<scalar_t>(kRmsNormEpsilon), pointer(h) + at,
                                    pointer(norm), slope, nullptr, pointer(d_h) + at, d_norm);
          }
        }
      });
      sum_shares<scalar_t>(pieces, shape.share(), pointer(shares), pointer(total));
    });
    Slices slices(total);
    const at::Tensor d_norm = slices.take({shape.d}),
                     d_weight = slices.take({shape.classes, shape.d});
    return {d_h, d_norm, d_weight, slices.take({shape.classes})};
  }
};

}  // namespace

at::Tensor pooled_head_cpu(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                           const at::Tensor& bias) {
  return PooledHeadCpu::apply(h, norm.contiguous(), weight.contiguous(), or_empty(bias, h));
}

}  // namespace cdsp
