#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rms_norm.h"
#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerPiece = 256;

class RmsNormCpu : public torch::autograd::Function<RmsNormCpu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = input.contiguous();
    const int64_t d = x.size(-1), rows = x.numel() / d;
    at::Tensor y = at::empty_like(x), inverse_rms = at::empty({rows}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm", [&] {
      const auto& loops = simd_loops<scalar_t>();
      const scalar_t *from = x.data_ptr<scalar_t>(), *w = weight.data_ptr<scalar_t>();
      scalar_t *to = y.data_ptr<scalar_t>(), *r = inverse_rms.data_ptr<scalar_t>();
      at::parallel_for(0, rows, kRowsPerPiece, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          r[row] = loops.rms_norm(d, static_cast<scalar_t>(kRmsNormEpsilon), from + row * d, w,
                                  to + row * d);
        }
      });
    });
    context->save_for_backward({x, weight, inverse_rms});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse_rms = saved[2];
    const at::Tensor up = upstream[0].contiguous();
    const int64_t d = x.size(-1), rows = x.numel() / d;
    const int64_t pieces = (rows + kRowsPerPiece - 1) / kRowsPerPiece;
    at::Tensor d_x = at::empty_like(x), d_weight_parts = at::zeros({pieces, d}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm_backward", [&] {
      const auto& loops = simd_loops<scalar_t>();
      const scalar_t *from = x.data_ptr<scalar_t>(), *w = weight.data_ptr<scalar_t>(),
                     *r = inverse_rms.data_ptr<scalar_t>(), *e = up.data_ptr<scalar_t>();
      scalar_t *to = d_x.data_ptr<scalar_t>(), *parts = d_weight_parts.data_ptr<scalar_t>();
      // Fixed pieces with a partial sum each: the same bytes for any number of threads.
      for_each_piece(pieces, [&](int64_t piece) {
        const int64_t end = std::min(rows, (piece + 1) * kRowsPerPiece);
        for (int64_t row = piece * kRowsPerPiece; row < end; ++row) {
          loops.rms_norm_backward(d, from + row * d, w, r[row], e + row * d, to + row * d,
                                  parts + piece * d);
        }
      });
    });
    return {d_x, d_weight_parts.sum(0)};
  }
};

}  // namespace

at::Tensor rms_norm_cpu(const at::Tensor& x, const at::Tensor& weight) {
  return RmsNormCpu::apply(x, weight);
}

}  // namespace cdsp
