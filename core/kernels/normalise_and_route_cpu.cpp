#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/normalise_and_route.h"
#include "kernels/optional_input.h"
#include "kernels/partial_sums.h"
#include "kernels/rms_norm.h"
#include "kernels/tile_gemm.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kImagesPerPiece = 4;

struct Shape {
  int64_t batch, positions, d, experts, top_k, task_width, tasks;
  RouterNorm norm;
  int64_t tokens() const { return positions * d; }  // numbers of one image's tokens
  /// Weight gradients of one piece: norm [d], W_x [N, d], W_v [N, te], b [N], embedding [tasks,
  /// te].
  int64_t share() const { return d + experts * (d + task_width + 1) + tasks * task_width; }
};

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

template <typename T>
void layer_norm_image_backward(const Shape& shape, const T* r, const T* normal, const T* upstream,
                               T* d_x) {
  const auto& loops = simd_loops<T>();
  if (shape.norm == RouterNorm::kSequence) {
    loops.layer_norm_backward(shape.tokens(), *r, normal, upstream, d_x);
    return;
  }
  for (int64_t t = 0; t < shape.positions; ++t) {
    const int64_t at = t * shape.d;
    loops.layer_norm_backward(shape.d, r[t], normal + at, upstream + at, d_x + at);
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
  for (int64_t t = 0; t < shape.positions; ++t) {
    const int64_t token = image * shape.positions + t;
    const int64_t* index = to.indices + token * k;
    T* weight = to.weights + token * n;
    std::fill(weight, weight + n, T(0));
    for (int64_t slot = 0; slot < k; ++slot) weight[index[slot]] = chosen[t * k + slot];
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
};

/// One token's gradient of the logits: through the softmax over the chosen,
/// d_logit_i = w_i (d_w_i - sum_j w_j d_w_j), and through the one over all experts.
template <typename T>
void logit_gradients(const Shape& shape, const RoutingPointers<T>& kept, const Upstream<T>& up,
                     int64_t token, T* d_logits) {
  const int64_t n = shape.experts, at = token * n;
  std::fill(d_logits, d_logits + n, T(0));
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
    T expected = 0;
    for (int64_t e = 0; e < n; ++e)
      expected += kept.probabilities[at + e] * up.probabilities[at + e];
    for (int64_t e = 0; e < n; ++e)
      d_logits[e] += kept.probabilities[at + e] * (up.probabilities[at + e] - expected);
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
  T *d_norm = share, *d_wx = d_norm + d, *d_wv = d_wx + n * d, *d_b = d_wv + n * shape.task_width,
    *d_embedding = d_b + n;
  for (int64_t t = 0; t < shape.positions; ++t)
    logit_gradients(shape, kept, up, image * shape.positions + t, d_logits + t * n);
  layer_norm_image(shape, x, normal, r);
  tile_gemm(n, d, shape.positions, transposed<T>(d_logits, n), static_cast<const T*>(normal), d,
            Into::kAdd, d_wx, d);
  std::fill(sum, sum + n, T(0));
  for (int64_t t = 0; t < shape.positions; ++t) loops.add_scaled(n, T(1), d_logits + t * n, sum);
  loops.add_scaled(n, T(1), sum, d_b);
  if (in.one_hot != nullptr) {
    const int64_t te = shape.task_width;
    embed_task(shape, in, image, v);
    for (int64_t e = 0; e < n; ++e) loops.add_scaled(te, sum[e], v, d_wv + e * te);
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
  if (up.x != nullptr) {
    std::copy_n(up.x + begin, shape.tokens(), d_x);
  } else {
    std::fill(d_x, d_x + shape.tokens(), T(0));
  }
  layer_norm_image_backward<T>(shape, r, normal, d_normal, d_x);
  for (int64_t t = 0; t < shape.positions; ++t) {
    const T* residual = up.residual == nullptr ? nullptr : up.residual + begin + t * d;
    loops.rms_norm_backward(d, static_cast<T>(kRmsNormEpsilon), h + t * d, in.norm, d_x + t * d,
                            residual, d_h + t * d, d_norm);
  }
}

/// How many tokens chose each expert.
at::Tensor count_selections(const at::Tensor& indices, int64_t experts, at::ScalarType dtype) {
  std::vector<int64_t> counts(static_cast<size_t>(experts), 0);
  const int64_t* index = indices.data_ptr<int64_t>();
  for (int64_t i = 0; i < indices.numel(); ++i) ++counts[static_cast<size_t>(index[i])];
  return at::tensor(counts, at::kLong).to(dtype);
}

class NormaliseAndRouteCpu : public torch::autograd::Function<NormaliseAndRouteCpu> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& h,
                               const at::Tensor& norm, const at::Tensor& weight,
                               const at::Tensor& bias, const at::Tensor& embedding,
                               const at::Tensor& one_hot, int64_t top_k, bool is_sequence,
                               bool with_probabilities) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const Shape shape = shape_of(h, weight, one_hot, embedding, top_k, is_sequence);
    const int64_t tokens = shape.batch * shape.positions, n = shape.experts;
    at::Tensor x = at::empty({tokens, shape.d}, h.options());
    at::Tensor indices = at::empty({tokens, top_k}, h.options().dtype(at::kLong));
    at::Tensor weights = at::empty({tokens, n}, h.options()), probabilities;
    if (with_probabilities) probabilities = at::empty({tokens, n}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "normalise_and_route", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const RouterPointers<scalar_t> in =
          pointers<scalar_t>(norm, weight, bias, embedding, one_hot);
      const RoutingPointers<scalar_t> to{indices.data_ptr<int64_t>(), pointer(weights),
                                         pointer_or_null<scalar_t>(probabilities)};
      const int64_t row = padded_row<scalar_t>(n);
      at::Tensor columns = at::zeros({shape.d, row}, h.options());  // W_x^T
      transpose(n, shape.d, in.weight, in.weight_row, pointer(columns), row);
      for_each_piece(pieces_of(shape.batch, kImagesPerPiece), [&](int64_t piece) {
        const int64_t end = std::min(shape.batch, (piece + 1) * kImagesPerPiece);
        for (int64_t image = piece * kImagesPerPiece; image < end; ++image) {
          forward_image<scalar_t>(shape, in, pointer(columns), image,
                                  pointer(h) + image * shape.tokens(),
                                  pointer(x) + image * shape.tokens(), to);
        }
      });
    });
    context->save_for_backward(
        {h, norm, weight, bias, embedding, one_hot, x, indices, weights, probabilities});
    context->saved_data["is_sequence"] = is_sequence;
    context->mark_non_differentiable({indices});
    context->set_materialize_grads(false);
    variable_list outputs = {h, x, weights, indices};
    if (with_probabilities) outputs.push_back(probabilities);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &h = saved[0], &norm = saved[1], &weight = saved[2], &bias = saved[3],
                     &embedding = saved[4], &one_hot = saved[5], &x = saved[6], &indices = saved[7],
                     &weights = saved[8], &probabilities = saved[9];
    const Shape shape = shape_of(h, weight, one_hot, embedding, indices.size(1),
                                 context->saved_data["is_sequence"].toBool());
    const auto dense = [](const at::Tensor& gradient) {
      return gradient.defined() ? gradient.contiguous() : gradient;
    };
    const at::Tensor up_h = dense(upstream[0]), up_x = dense(upstream[1]),
                     up_weights = dense(upstream[2]),
                     up_probabilities = upstream.size() > 4 ? dense(upstream[4]) : at::Tensor();
    const int64_t pieces = pieces_of(shape.batch, kImagesPerPiece);
    at::Tensor d_h = at::empty_like(h), total = at::empty({shape.share()}, h.options());
    const at::Tensor shares = at::zeros({pieces, shape.share()}, h.options());
    AT_DISPATCH_FLOATING_TYPES(h.scalar_type(), "normalise_and_route_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const RouterPointers<scalar_t> in =
          pointers<scalar_t>(norm, weight, bias, embedding, one_hot);
      const RoutingPointers<scalar_t> kept{indices.data_ptr<int64_t>(), pointer(weights),
                                           pointer_or_null<scalar_t>(probabilities)};
      const Upstream<scalar_t> up{pointer_or_null<scalar_t>(up_h), pointer_or_null<scalar_t>(up_x),
                                  pointer_or_null<scalar_t>(up_weights),
                                  pointer_or_null<scalar_t>(up_probabilities)};
      for_each_piece(pieces, [&](int64_t piece) {
        const int64_t end = std::min(shape.batch, (piece + 1) * kImagesPerPiece);
        for (int64_t image = piece * kImagesPerPiece; image < end; ++image) {
          const int64_t at = image * shape.tokens();
          backward_image<scalar_t>(shape, in, kept, up, image, pointer(h) + at, pointer(x) + at,
                                   pointer(d_h) + at, pointer(shares) + piece * shape.share());
        }
      });
      sum_shares<scalar_t>(pieces, shape.share(), pointer(shares), pointer(total));
    });
    Slices slices(total);
    const at::Tensor d_norm = slices.take({shape.d}), d_wx = slices.take({shape.experts, shape.d}),
                     d_wv = slices.take({shape.experts, shape.task_width}),
                     d_bias = slices.take({shape.experts});
    const at::Tensor d_embedding =
        is_given(one_hot) ? slices.take({shape.tasks, shape.task_width}) : at::Tensor();
    return {d_h,          d_norm,       at::cat({d_wx, d_wv}, 1),
            d_bias,       d_embedding,  at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static Shape shape_of(const at::Tensor& h, const at::Tensor& weight, const at::Tensor& one_hot,
                        const at::Tensor& embedding, int64_t top_k, bool is_sequence) {
    return {h.size(0),
            h.size(1),
            h.size(2),
            weight.size(0),
            top_k,
            weight.size(1) - h.size(2),
            is_given(one_hot) ? embedding.size(0) : 0,
            is_sequence ? RouterNorm::kSequence : RouterNorm::kToken};
  }

  template <typename T>
  static RouterPointers<T> pointers(const at::Tensor& norm, const at::Tensor& weight,
                                    const at::Tensor& bias, const at::Tensor& embedding,
                                    const at::Tensor& one_hot) {
    return {norm.data_ptr<T>(),          weight.data_ptr<T>(),
            bias.data_ptr<T>(),          pointer_or_null<T>(embedding),
            pointer_or_null<T>(one_hot), weight.size(1)};
  }
};

}  // namespace

RoutedTokens normalise_and_route_cpu(const at::Tensor& h, const at::Tensor& norm,
                                     const RouterWeights& weights, const at::Tensor& task_one_hot,
                                     const RouterRequest& request) {
  TORCH_CHECK(request.top_k <= weights.weight.size(0), "normalise_and_route: top ", request.top_k,
              " of ", weights.weight.size(0), " experts");
  TORCH_CHECK(!task_one_hot.defined() || (task_one_hot.size(0) == h.size(0) &&
                                          task_one_hot.size(1) == weights.task_embedding.size(0)),
              "normalise_and_route: task_one_hot is not [batch, tasks]");
  const variable_list outputs = NormaliseAndRouteCpu::apply(
      h.contiguous(), norm.contiguous(), weights.weight.contiguous(), weights.bias.contiguous(),
      or_empty(task_one_hot.defined() ? weights.task_embedding : at::Tensor(), h),
      or_empty(task_one_hot, h), request.top_k, request.norm == RouterNorm::kSequence,
      request.with_probabilities);
  return {outputs[0],
          outputs[1],
          {outputs[3], outputs[2], request.with_probabilities ? outputs[4] : at::Tensor(),
           count_selections(outputs[3], weights.weight.size(0), h.scalar_type())}};
}

}  // namespace cdsp
