#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/expert_grouping.h"
#include "kernels/normalise_and_route.h"
#include "kernels/normalise_and_route_backward_blocks.h"
#include "kernels/normalise_and_route_blocks.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/rms_norm.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Whether rows of these begin at multiples of 16 bytes, as rows that are multiples of four long do
/// if the first does; an undefined tensor is no obstacle.
bool are_aligned(std::initializer_list<at::Tensor> tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
    return !tensor.defined() || reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0;
  });
}

/// All contiguous, and alive as long as the result is used; one_hot may be empty.
template <typename T>
RouterInputs<T> inputs_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          const at::Tensor& embedding, const at::Tensor& one_hot, bool by_token) {
  return {x.data_ptr<T>(),
          weight.data_ptr<T>(),
          bias.data_ptr<T>(),
          embedding.data_ptr<T>(),
          pointer_or_null<T>(one_hot),
          x.size(0),
          static_cast<int>(x.size(1)),
          static_cast<int>(x.size(2)),
          static_cast<int>(weight.size(0)),
          static_cast<int>(embedding.size(0)),
          static_cast<int>(embedding.size(1)),
          by_token,
          x.size(2) % 4 == 0 && embedding.size(1) % 4 == 0 && are_aligned({x, weight, embedding}),
          RouterInputs<T>::part_of_positions(std::max<int64_t>(x.size(1), 1))};
}

/// x [batch, positions, d] -> itself, weights, indices, and probabilities where they are asked for.
class RouteCuda : public torch::autograd::Function<RouteCuda> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& input,
                               const at::Tensor& weight_in, const at::Tensor& bias_in,
                               const at::Tensor& embedding_in, const at::Tensor& one_hot_in,
                               int64_t top_k, bool by_token, bool with_probabilities) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor x = input.contiguous(), weight = weight_in.contiguous(),
                     bias = bias_in.contiguous(), embedding = embedding_in.contiguous(),
                     one_hot = one_hot_in.contiguous();
    const int64_t tokens = x.size(0) * x.size(1), experts = weight.size(0);
    const int64_t groups = by_token ? tokens : x.size(0);
    const at::TensorOptions options = x.options();
    at::Tensor indices = at::empty({tokens, top_k}, options.dtype(at::kLong)),
               weights = at::empty({tokens, experts}, options), mean = at::empty({groups}, options),
               inverse_std = at::empty({groups}, options),
               products = at::empty({tokens, experts}, options),
               weight_sums = at::empty({experts}, options), probabilities, logits;
    if (with_probabilities) probabilities = at::empty({tokens, experts}, options);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "route", [&] {
      if (!RouteForward<scalar_t, false>::holds_logits(experts)) {
        logits = at::empty({tokens, experts}, options);
      }
      const auto epsilon = static_cast<scalar_t>(kLayerNormEpsilon);
      if (!by_token) {
        run_grid(ImageStatistics<scalar_t>{x.data_ptr<scalar_t>(), mean.data_ptr<scalar_t>(),
                                           inverse_std.data_ptr<scalar_t>(), x.size(0),
                                           static_cast<int>(x.size(1) * x.size(2)), epsilon},
                 x.get_device());
      }
      const auto inputs = inputs_of<scalar_t>(x, weight, bias, embedding, one_hot, by_token);
      const auto run = [&](auto is_tile) {
        run_grid(RouteForward<scalar_t, is_tile>{{inputs},
                                                 indices.data_ptr<int64_t>(),
                                                 weights.data_ptr<scalar_t>(),
                                                 pointer_or_null<scalar_t>(probabilities),
                                                 mean.data_ptr<scalar_t>(),
                                                 inverse_std.data_ptr<scalar_t>(),
                                                 products.data_ptr<scalar_t>(),
                                                 weight_sums.data_ptr<scalar_t>(),
                                                 pointer_or_null<scalar_t>(logits),
                                                 epsilon,
                                                 static_cast<int>(top_k)},
                 x.get_device());
      };
      inputs.is_tile() ? run(std::true_type{}) : run(std::false_type{});
      if (logits.defined()) {
        run_grid(ChooseExperts<scalar_t>{logits.data_ptr<scalar_t>(), indices.data_ptr<int64_t>(),
                                         weights.data_ptr<scalar_t>(),
                                         pointer_or_null<scalar_t>(probabilities), tokens,
                                         static_cast<int>(experts), static_cast<int>(top_k)},
                 x.get_device());
      }
    });
    context->save_for_backward({x, weight, bias, embedding, one_hot, mean, inverse_std, weights,
                                probabilities, products, weight_sums});
    context->saved_data["by_token"] = by_token;
    context->mark_non_differentiable({indices});
    context->set_materialize_grads(false);
    variable_list outputs = {input, weights, indices};
    if (with_probabilities) outputs.push_back(probabilities);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &embedding = saved[3],
                     &one_hot = saved[4], &mean = saved[5], &inverse_std = saved[6],
                     &weights = saved[7], &probabilities = saved[8], &products = saved[9],
                     &weight_sums = saved[10];
    const auto dense = [](const at::Tensor& gradient) {
      return gradient.defined() ? gradient.contiguous() : gradient;
    };
    const at::Tensor d_x_beside = dense(upstream[0]), d_weights = dense(upstream[1]);
    at::Tensor d_probabilities = upstream.size() > 3 ? upstream[3] : at::Tensor();
    // One row for all tokens, as a balance loss gives it, is read as it is.
    const bool is_one_row = d_probabilities.defined() && d_probabilities.stride(0) == 0 &&
                            d_probabilities.stride(1) == 1;
    if (!is_one_row) d_probabilities = dense(d_probabilities);
    const bool by_token = context->saved_data["by_token"].toBool();
    const int64_t images = x.size(0), positions = x.size(1), experts = weight.size(0),
                  tasks = embedding.size(0);
    at::Tensor d_x = at::empty_like(x), parts, pull, task_slopes;
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "route_backward", [&] {
      const RoutingSlopes<scalar_t> slopes{
          weights.data_ptr<scalar_t>(),
          pointer_or_null<scalar_t>(probabilities),
          products.data_ptr<scalar_t>(),
          weight_sums.data_ptr<scalar_t>(),
          pointer_or_null<scalar_t>(d_weights),
          pointer_or_null<scalar_t>(d_probabilities),
          is_one_row ? 0 : experts,
          static_cast<int>(experts),
          experts % 4 == 0 && are_aligned({weights, probabilities, products, weight_sums, d_weights,
                                           d_probabilities})};
      if (!by_token) {
        pull = at::empty({images, 2}, x.options());
        run_grid(ImagePull<scalar_t>{slopes, pull.data_ptr<scalar_t>(), images,
                                     static_cast<int>(positions),
                                     static_cast<int>(positions * x.size(2))},
                 x.get_device());
      }
      const auto inputs = inputs_of<scalar_t>(x, weight, bias, embedding, one_hot, by_token);
      const auto run = [&](auto is_tile) {
        using Backward = RouteBackward<scalar_t, is_tile>;
        Backward program{{inputs},
                         slopes,
                         mean.data_ptr<scalar_t>(),
                         inverse_std.data_ptr<scalar_t>(),
                         pointer_or_null<scalar_t>(d_x_beside),
                         pointer_or_null<scalar_t>(pull),
                         d_x.data_ptr<scalar_t>(),
                         nullptr,
                         nullptr,
                         false};
        parts = at::empty({program.blocks(), program.parameters()}, x.options());
        program.parameter_parts = parts.data_ptr<scalar_t>();
        if (is_given(one_hot) && !Backward::holds_task_slopes(tasks, experts)) {
          task_slopes = at::empty({program.blocks(), tasks, experts}, x.options());
          program.task_slopes = task_slopes.data_ptr<scalar_t>();
        }
        program.has_quads = inputs.has_quads && program.parameters() % 4 == 0 &&
                            are_aligned({d_x_beside, d_x, parts});
        run_grid(program, x.get_device());
      };
      const bool is_tile = inputs.is_tile() && slopes.has_quads && are_aligned({d_x_beside, d_x});
      is_tile ? run(std::true_type{}) : run(std::false_type{});
    });
    const AsideResults sums =
        run_aside(x.get_device(), [parts]() -> AsideResults { return {sum_of_rows_cuda(parts)}; });
    Slices slices(sums[0]);
    const at::Tensor d_weight = slices.take(weight.sizes()), d_bias = slices.take(bias.sizes());
    const at::Tensor d_embedding =
        is_given(one_hot) ? slices.take(embedding.sizes()) : at::Tensor();
    return {d_x,          d_weight,     d_bias,       d_embedding,
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

RoutedTokens normalise_and_route_cuda(const at::Tensor& h, const at::Tensor& norm,
                                      const RouterWeights& weights, const at::Tensor& task_one_hot,
                                      const RouterRequest& request) {
  const NormedStream stream = norm_beside_residual_cuda(h, norm);
  const variable_list routed =
      RouteCuda::apply(stream.normed, weights.weight, weights.bias, weights.task_embedding,
                       or_empty(task_one_hot, h), request.top_k, request.norm == RouterNorm::kToken,
                       request.with_probabilities);
  RoutedTokens tokens{
      stream.residual, routed[0].reshape({-1, h.size(2)}), {routed[2], routed[1], {}, {}}};
  if (request.with_probabilities) tokens.routing.probabilities = routed[3];
  // An evaluation has no use for them.
  if (at::GradMode::is_enabled()) {
    const at::Tensor indices = tokens.routing.indices, weights_of = tokens.routing.weights.detach();
    tokens.routing.counts = run_aside(h.get_device(), [=]() -> AsideResults {
      return {count_by_expert_cuda(indices, weights_of)};
    })[0];
  }
  return tokens;
}

}  // namespace cdsp
