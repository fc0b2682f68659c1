// The CDSP layer's two forms on the host under one roof; cdsp_layer_dense_cpu.cpp and
// cdsp_layer_grouped_cpu.cpp compute.
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cdsp_layer.h"
#include "kernels/cpu_pass.h"
#include "kernels/gradient_sink.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/tile_sizes.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// As an operation of LibTorch's autograd.
class CdspLayerFunction : public torch::autograd::Function<CdspLayerFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual,
                            const at::Tensor& x, const at::Tensor& weights,
                            const at::Tensor& indices, const at::Tensor& u, const at::Tensor& v,
                            const at::Tensor& gate, const at::Tensor& mask,
                            const c10::intrusive_ptr<GradientSink>& sink, int64_t form) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    keep_sink(*context, sink);
    return new_pass<CdspLayerCpu>(context, {residual, x, weights, indices, u, v, gate, mask},
                                  static_cast<CdspLayerCpu::Form>(form))
        .forward({residual, x, {indices, weights, {}, {}}, u, v, gate, mask}, /*keep=*/true);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<CdspLayerCpu>(context);
    const at::Tensor up = upstream[0].contiguous();
    const at::Tensor gradient = at::empty({pass.parameters()}, up.options());
    CdspLayerGradients found = pass.backward(up, gradient);
    hand_over(*context, std::move(found.experts));
    const variable_list inputs = context->get_saved_variables();
    Slices slices(gradient);
    const at::Tensor d_u = slices.take(inputs[4].sizes()), d_v = slices.take(inputs[5].sizes());
    return {found.tokens.residual,
            found.tokens.x,
            found.tokens.weights,
            at::Tensor(),
            d_u,
            d_v,
            found.gate,
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

at::Tensor layer_of_form(CdspLayerCpu::Form form, const CdspLayerInputs& in,
                         const std::shared_ptr<ExpertGradients>& gradients) {
  if (!at::GradMode::is_enabled()) return CdspLayerCpu(form).forward(in, /*keep=*/false);
  return CdspLayerFunction::apply(
      or_empty(in.residual, in.x), in.x, in.routing.weights, in.routing.indices, in.u, in.v,
      in.gate, in.mask, c10::make_intrusive<GradientSink>(gradients), static_cast<int64_t>(form));
}

}  // namespace

CdspLayerCpu::Form CdspLayerCpu::form_for(const at::Tensor& mask, int64_t top_k) {
  const at::Tensor first = mask[0].contiguous();
  int64_t rank = 0;
  AT_DISPATCH_FLOATING_TYPES(first.scalar_type(), "form_for", [&] {
    const scalar_t* row = first.data_ptr<scalar_t>();
    for (int64_t c = 0; c < first.numel(); ++c) rank += row[c] != scalar_t(0) ? 1 : 0;
  });
  return grouping_pays(top_k, rank, mask.size(1)) ? Form::kGrouped : Form::kDense;
}

at::Tensor CdspLayerCpu::forward(const CdspLayerInputs& in, bool keep) {
  x_ = in.x.contiguous();
  weights_ = in.routing.weights.contiguous();
  indices_ = in.routing.indices.contiguous();
  u_ = in.u.contiguous();
  v_ = in.v.contiguous();
  gate_ = in.gate.contiguous();
  mask_ = in.mask.contiguous();
  const at::Tensor residual = is_given(in.residual) ? in.residual.contiguous() : at::Tensor();
  return form_ == Form::kDense ? forward_dense(residual, keep) : forward_grouped(residual, keep);
}

CdspLayerGradients CdspLayerCpu::backward(const at::Tensor& upstream,
                                          const at::Tensor& gradient) const {
  return form_ == Form::kDense ? backward_dense(upstream, gradient)
                               : backward_grouped(upstream, gradient);
}

at::Tensor cdsp_layer_dense_cpu(const CdspLayerInputs& in,
                                const std::shared_ptr<ExpertGradients>& gradients) {
  return layer_of_form(CdspLayerCpu::Form::kDense, in, gradients);
}

at::Tensor cdsp_layer_grouped_cpu(const CdspLayerInputs& in,
                                  const std::shared_ptr<ExpertGradients>& gradients) {
  return layer_of_form(CdspLayerCpu::Form::kGrouped, in, gradients);
}

}  // namespace cdsp
