#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/cpu_pass.h"
#include "kernels/normalise_and_route.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_gemm.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t batch, positions, d, experts, top_k, task_width, tasks;
  RouterNorm norm;
  int64_t tokens() const { return positions * d; }  // numbers of one image's tokens
  /// Weight gradients of one piece: norm [d], W_g [N, d + te], b [N], embedding [tasks, te].
  int64_t share() const { return d + experts * (d + task_width + 1) + tasks * task_width; }
};

Shape shape_of(const at::Tensor& h, const at::Tensor& weight, const at::Tensor& embedding,
               int64_t top_k, RouterNorm norm) {
  return {h.size(0),
          h.size(1),
          h.size(2),
          weight.size(0),
          top_k,
          weight.size(1) - h.size(2),
          embedding.defined() ? embedding.size(0) : 0,
          norm};
}

/// Null pointers where there is no task, or nothing is asked for.
template <typename T>
struct RouterPointers {
  const T *norm, *weight, *bias, *embedding, *one_hot;
  int64_t weight_row;  // d + te
};

/// Normalises one image's x for the router; r of every token, or of the image in r[0].
template <typename T>
void layer_norm_image(const Shape& shape, const T* x, T* normal, T* r) {
  const auto& loops = simd_loops<T>();
  const auto epsilon = static_cast<T>(kLayerNormEpsilon);
  if (shape.norm == RouterNorm::kSequence) {
    *r = loops.layer_norm(shape.tokens(), epsilon, x, normal);
    return;
  }
  for (int64_t t = 0; t < shape.positions; ++t)
    r[t] = loops.layer_norm(shape.d, epsilon, x + t * shape.d, normal + t * shape.d);
}

/// d_x, added to addend unless that is null.
template <typename T>
void layer_norm_image_backward(const Shape& shape, const T* r, const T* normal, const T* upstream,
                               const T* addend, T* d_x) {
  const auto& loops = simd_loops<T>();
  if (shape.norm == RouterNorm::kSequence) {
    loops.layer_norm_backward(shape.tokens(), *r, normal, upstream, addend, d_x);
    return;
  }
  for (int64_t t = 0; t < shape.positions; ++t) {
    const int64_t at = t * shape.d;
    loops.layer_norm_backward(shape.d, r[t], normal + at, upstream + at,
                              addend == nullptr ? nullptr : addend + at, d_x + at);
  }
}

/// v_task [te] of one image.
template <typename T>
void embed_task(const Shape& shape, const RouterPointers<T>& in, int64_t image, T* v) {
  std::fill(v, v + shape.task_width, T(0));
  for (int64_t task = 0; task < shape.tasks; ++task) {
    simd_loops<T>().add_scaled(shape.task_width, in.one_hot[image * shape.tasks + task],
                               in.embedding + task * shape.task_width, v);
  }
}

template <typename T>
struct RoutingPointers {
  int64_t* indices;  // [tokens, k]
  T *weights, *probabilities;
};

template <typename T>
void forward_image(const Shape& shape, const RouterPointers<T>& in, const T* columns, int64_t image,
                   const T* h, T* x, const RoutingPointers<T>& to) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, n = shape.experts, row = padded_row<T>(n);
  const int64_t k = shape.top_k;
  const auto [normal, r, base, logits, chosen, v, lanes] =
      thread_scratch<T>(shape.tokens(), shape.positions, row, shape.positions * row,
                        shape.positions * k, shape.task_width, (n + k) * kQueryLanes);
  for (int64_t t = 0; t < shape.positions; ++t)
    loops.rms_norm(d, static_cast<T>(kRmsNormEpsilon), h + t * d, in.norm, x + t * d);
  layer_norm_image(shape, static_cast<const T*>(x), normal, r);
  // b + W_v v is the same for every token of the image.
  std::fill(std::copy_n(in.bias, n, base), base + row, T(0));
  if (in.one_hot != nullptr) {
    embed_task(shape, in, image, v);
    for (int64_t e = 0; e < n; ++e)
      base[e] += loops.dot(shape.task_width, in.weight + e * in.weight_row + d, v);
  }
  tile_gemm(shape.positions, row, d, plain<T>(normal, d), columns, row,
            same_row(static_cast<const T*>(base)), logits, row);
  loops.top_k(shape.positions, n, k, logits, row, lanes, to.indices + image * shape.positions * k,
              chosen);
  const int64_t* index = to.indices + image * shape.positions * k;
  T* weights = to.weights + image * shape.positions * n;
  std::fill(weights, weights + shape.positions * n, T(0));
  for (int64_t t = 0; t < shape.positions; ++t) {
    for (int64_t slot = t * k; slot < (t + 1) * k; ++slot)
      weights[t * n + index[slot]] = chosen[slot];
  }
  if (to.probabilities != nullptr) {
    loops.softmax(shape.positions, n, logits, row, lanes,
                  to.probabilities + image * shape.positions * n);
  }
}

/// What arrives from above; null where nothing does.
template <typename T>
struct Upstream {
  const T *residual, *x, *weights, *probabilities;
  int64_t probabilities_row;  // 0: alike for all tokens
};

/// One token's gradient of the logits, zeros before: through the softmax over the chosen,
/// d_logit_i = w_i (d_w_i - sum_j w_j d_w_j), and through the one over all experts.
template <typename T>
void logit_gradients(const Shape& shape, const RoutingPointers<T>& kept, const Upstream<T>& up,
                     int64_t token, T* d_logits) {
  const int64_t n = shape.experts, at = token * n;
  if (up.weights != nullptr) {
    const int64_t* index = kept.indices + token * shape.top_k;
    T expected = 0;
    for (int64_t slot = 0; slot < shape.top_k; ++slot)
      expected += kept.weights[at + index[slot]] * up.weights[at + index[slot]];
    for (int64_t slot = 0; slot < shape.top_k; ++slot) {
      const int64_t e = index[slot];
      d_logits[e] = kept.weights[at + e] * (up.weights[at + e] - expected);
    }
  }
  if (up.probabilities != nullptr) {
    const T *p = kept.probabilities + at, *d_p = up.probabilities + token * up.probabilities_row;
    T expected = 0;
    for (int64_t e = 0; e < n; ++e) expected += p[e] * d_p[e];
    for (int64_t e = 0; e < n; ++e) d_logits[e] += p[e] * (d_p[e] - expected);
  }
}

template <typename T>
void backward_image(const Shape& shape, const RouterPointers<T>& in, const RoutingPointers<T>& kept,
                    const Upstream<T>& up, int64_t image, const T* h, const T* x, T* d_h,
                    T* share) {
  const auto& loops = simd_loops<T>();
  const int64_t d = shape.d, n = shape.experts, begin = image * shape.tokens();
  const auto [normal, r, d_logits, d_normal, d_x, sum, v] =
      thread_scratch<T>(shape.tokens(), shape.positions, shape.positions * n, shape.tokens(),
                        shape.tokens(), n, shape.task_width);
  T *d_norm = share, *d_weight = d_norm + d, *d_b = d_weight + n * in.weight_row,
    *d_embedding = d_b + n;
  std::fill(d_logits, d_logits + shape.positions * n, T(0));
  for (int64_t t = 0; t < shape.positions; ++t)
    logit_gradients(shape, kept, up, image * shape.positions + t, d_logits + t * n);
  layer_norm_image(shape, x, normal, r);
  tile_gemm(n, d, shape.positions, transposed<T>(d_logits, n), static_cast<const T*>(normal), d,
            Into::kAdd, d_weight, in.weight_row);
  std::fill(sum, sum + n, T(0));
  for (int64_t t = 0; t < shape.positions; ++t) loops.add_scaled(n, T(1), d_logits + t * n, sum);
  loops.add_scaled(n, T(1), sum, d_b);
  if (in.one_hot != nullptr) {
    const int64_t te = shape.task_width;
    embed_task(shape, in, image, v);
    for (int64_t e = 0; e < n; ++e)
      loops.add_scaled(te, sum[e], v, d_weight + e * in.weight_row + d);
    for (int64_t task = 0; task < shape.tasks; ++task) {
      const T told = in.one_hot[image * shape.tasks + task];
      if (told == T(0)) continue;
      for (int64_t e = 0; e < n; ++e) {
        loops.add_scaled(te, told * sum[e], in.weight + e * in.weight_row + d,
                         d_embedding + task * te);
      }
    }
  }
  tile_gemm(shape.positions, d, n, plain<T>(d_logits, n), in.weight, in.weight_row, Into::kSet,
            d_normal, d);
  layer_norm_image_backward<T>(shape, r, normal, d_normal, up.x == nullptr ? nullptr : up.x + begin,
                               d_x);
  for (int64_t t = 0; t < shape.positions; ++t) {
    const T* residual = up.residual == nullptr ? nullptr : up.residual + begin + t * d;
    loops.rms_norm_backward(d, static_cast<T>(kRmsNormEpsilon), h + t * d, in.norm, d_x + t * d,
                            residual, d_h + t * d, d_norm);
  }
}

/// How many tokens chose each expert.
at::Tensor count_selections(const at::Tensor& indices, int64_t experts,
                            const at::TensorOptions& options) {
  std::vector<int64_t> counts(static_cast<size_t>(experts), 0);
  const int64_t* index = indices.data_ptr<int64_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) ++counts[static_cast<size_t>(index[i])];
  at::Tensor result = at::empty({experts}, options);
  AT_DISPATCH_FLOATING_TYPES(result.scalar_type(), "count_selections", [&] {
    std::transform(counts.begin(), counts.end(), result.data_ptr<scalar_t>(),
                   [](int64_t count) { return static_cast<scalar_t>(count); });
  });
  return result;
}

at::Tensor defined_or_none(const at::Tensor& tensor) {
  return is_given(tensor) ? tensor : at::Tensor();
}

/// As an operation of LibTorch's autograd.
class NormaliseAndRouteFunction : public torch::autograd::Function<NormaliseAndRouteFunction> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& h,
                               const at::Tensor& norm, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& embedding,
                               const at::Tensor& one_hot, int64_t top_k, bool is_sequence,
                               bool with_probabilities) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    auto& pass =
        new_pass<NormaliseAndRouteCpu>(context, {h, norm, weight, bias, embedding, one_hot});
    const ImageWork work = pass.forward(
        h, norm, {weight, bias, defined_or_none(embedding)}, defined_or_none(one_hot),
        {top_k, is_sequence ? RouterNorm::kSequence : RouterNorm::kToken, with_probabilities});
    run_image_work(h.size(0), {&work});
    const RoutedTokens tokens = pass.tokens();
    const Routing& routing = tokens.routing;
    // Not the very tensors that the pass keeps.
    variable_list outputs = {h, tokens.x.detach(), routing.weights.detach(),
                             routing.indices.detach(), routing.counts};
    if (with_probabilities) outputs.push_back(routing.probabilities.detach());
    context->mark_non_differentiable({outputs[3], outputs[4]});
    context->set_materialize_grads(false);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto& pass = kept_pass<NormaliseAndRouteCpu>(context);
    const auto dense = [](const at::Tensor& gradient) {
      return gradient.defined() ? gradient.contiguous() : gradient;
    };
    const RoutedGradients up{dense(upstream[0]), dense(upstream[1]), dense(upstream[2]),
                             upstream.size() > 5 ? dense(upstream[5]) : at::Tensor()};
    const variable_list inputs = context->get_saved_variables();
    const at::Tensor &h = inputs[0], &norm = inputs[1], &weight = inputs[2], &bias = inputs[3],
                     &embedding = inputs[4];
    const at::Tensor gradient = at::empty({pass.parameters()}, h.options());
    const at::Tensor d_h = run_image_work(h.size(0), pass.backward(up, gradient));
    Slices slices(gradient);
    const at::Tensor d_norm = slices.take(norm.sizes()), d_weight = slices.take(weight.sizes()),
                     d_bias = slices.take(bias.sizes());
    const at::Tensor d_embedding =
        slices.is_empty() ? at::Tensor() : slices.take(embedding.sizes());
    return {d_h,          d_norm,       d_weight,     d_bias,      d_embedding,
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

template <typename T>
RouterPointers<T> pointers(const at::Tensor& norm, const at::Tensor& weight, const at::Tensor& bias,
                           const at::Tensor& embedding, const at::Tensor& one_hot) {
  return {norm.data_ptr<T>(),          weight.data_ptr<T>(),
          bias.data_ptr<T>(),          pointer_or_null<T>(embedding),
          pointer_or_null<T>(one_hot), weight.size(1)};
}

}  // namespace

ImageWork NormaliseAndRouteCpu::forward(const at::Tensor& h, const at::Tensor& norm,
                                        const RouterWeights& weights,
                                        const at::Tensor& task_one_hot,
                                        const RouterRequest& request) {
  TORCH_CHECK(request.top_k <= weights.weight.size(0), "normalise_and_route: top ", request.top_k,
              " of ", weights.weight.size(0), " experts");
  TORCH_CHECK(!task_one_hot.defined() || (task_one_hot.size(0) == h.size(0) &&
                                          task_one_hot.size(1) == weights.task_embedding.size(0)),
              "normalise_and_route: task_one_hot is not [batch, tasks]");
  kind_ = request.norm;
  h_ = h.contiguous();
  norm_ = norm.contiguous();
  weight_ = weights.weight.contiguous();
  bias_ = weights.bias.contiguous();
  const bool has_tasks = task_one_hot.defined();
  embedding_ = has_tasks ? weights.task_embedding.contiguous() : at::Tensor();
  one_hot_ = has_tasks ? task_one_hot.contiguous() : at::Tensor();
  const Shape shape = shape_of(h_, weight_, embedding_, request.top_k, kind_);
  const int64_t tokens = shape.batch * shape.positions, n = shape.experts;
  x_ = at::empty({tokens, shape.d}, h_.options());
  indices_ = at::empty({tokens, shape.top_k}, h_.options().dtype(at::kLong));
  weights_ = at::empty({tokens, n}, h_.options());
  probabilities_ = request.with_probabilities ? at::empty({tokens, n}, h_.options()) : at::Tensor();
  ImageWork work{x_, {}};
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "normalise_and_route", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const RouterPointers<scalar_t> in =
        pointers<scalar_t>(norm_, weight_, bias_, embedding_, one_hot_);
    const RoutingPointers<scalar_t> to{indices_.data_ptr<int64_t>(), pointer(weights_),
                                       pointer_or_null<scalar_t>(probabilities_)};
    const int64_t row = padded_row<scalar_t>(n);
    const at::Tensor columns_tensor = at::zeros({shape.d, row}, h_.options());  // W_x^T
    scalar_t *columns = pointer(columns_tensor), *x = pointer(x_);
    const scalar_t* from = pointer(h_);
    transpose(n, shape.d, in.weight, in.weight_row, columns, row);
    work.images = [=, kept = columns_tensor](int64_t begin, int64_t end) {
      for (int64_t image = begin; image < end; ++image) {
        const int64_t at = image * shape.tokens();
        forward_image<scalar_t>(shape, in, columns, image, from + at, x + at, to);
      }
    };
  });
  work.finish = [this, n] { counts_ = count_selections(indices_, n, h_.options()); };
  return work;
}

RoutedTokens NormaliseAndRouteCpu::tokens() const {
  return {h_, x_, {indices_, weights_, probabilities_, counts_}};
}

ImageWork NormaliseAndRouteCpu::backward(const RoutedGradients& upstream,
                                         const at::Tensor& gradient) const {
  const Shape shape = shape_of(h_, weight_, embedding_, indices_.size(1), kind_);
  const int64_t pieces = pieces_of(shape.batch, kImagesPerPiece);
  ImageWork work{at::empty_like(h_), {}};
  const at::Tensor shares = at::empty({pieces, shape.share()}, h_.options());
  AT_DISPATCH_FLOATING_TYPES(h_.scalar_type(), "normalise_and_route_backward", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const RouterPointers<scalar_t> in =
        pointers<scalar_t>(norm_, weight_, bias_, embedding_, one_hot_);
    const RoutingPointers<scalar_t> kept{indices_.data_ptr<int64_t>(), pointer(weights_),
                                         pointer_or_null<scalar_t>(probabilities_)};
    const bool is_same = upstream.probabilities.defined() && upstream.probabilities.dim() == 1;
    const Upstream<scalar_t> up{
        pointer_or_null<scalar_t>(upstream.residual), pointer_or_null<scalar_t>(upstream.x),
        pointer_or_null<scalar_t>(upstream.weights),
        pointer_or_null<scalar_t>(upstream.probabilities), is_same ? 0 : shape.experts};
    const scalar_t *h = pointer(h_), *x = pointer(x_);
    scalar_t *to = pointer(work.result), *all_shares = pointer(shares), *total = pointer(gradient);
    // What arrives must last as long as the work.
    work.images = [=, arrived = upstream](int64_t begin, int64_t end) {
      scalar_t* share = all_shares + begin / kImagesPerPiece * shape.share();
      std::fill(share, share + shape.share(), scalar_t(0));
      for (int64_t image = begin; image < end; ++image) {
        const int64_t at = image * shape.tokens();
        backward_image<scalar_t>(shape, in, kept, up, image, h + at, x + at, to + at, share);
      }
    };
    work.finish = [=, all = shares] {
      sum_shares<scalar_t>(pieces, shape.share(), all_shares, total);
    };
  });
  return work;
}

int64_t NormaliseAndRouteCpu::parameters() const {
  return shape_of(h_, weight_, embedding_, indices_.size(1), kind_).share();
}

RoutedTokens normalise_and_route_cpu(const at::Tensor& h, const at::Tensor& norm,
                                     const RouterWeights& weights, const at::Tensor& task_one_hot,
                                     const RouterRequest& request) {
  if (!at::GradMode::is_enabled()) {
    NormaliseAndRouteCpu pass;
    const ImageWork work = pass.forward(h, norm, weights, task_one_hot, request);
    run_image_work(h.size(0), {&work});
    return pass.tokens();
  }
  const at::Tensor embedding = task_one_hot.defined() ? weights.task_embedding : at::Tensor();
  const variable_list outputs = NormaliseAndRouteFunction::apply(
      h, norm, weights.weight, weights.bias, or_empty(embedding, h), or_empty(task_one_hot, h),
      request.top_k, request.norm == RouterNorm::kSequence, request.with_probabilities);
  return {
      outputs[0],
      outputs[1],
      {outputs[3], outputs[2], request.with_probabilities ? outputs[5] : at::Tensor(), outputs[4]}};
}

}  // namespace cdsp
