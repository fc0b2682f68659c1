#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rotary_attention.h"
#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape {
  int64_t batch, positions, heads, kv_heads, d_head;
  int64_t width() const { return (heads + 2 * kv_heads) * d_head; }
  int64_t head_size() const { return positions * d_head; }
};

Shape shape_of(const at::Tensor& qkv, int64_t heads, int64_t kv_heads) {
  return {qkv.size(0), qkv.size(1), heads, kv_heads, qkv.size(2) / (heads + 2 * kv_heads)};
}

/// to [columns, rows] = from [rows, columns] transposed.
template <typename T>
void transpose(int64_t rows, int64_t columns, const T* from, T* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
  }
}

/// One image's heads, contiguous [positions, d_head] each: q and k turned, v as it is.
template <typename T>
struct ImageHeads {
  ImageHeads(const Shape& shape, const T* qkv, const T* turns, T* memory)
      : size(shape.head_size()),
        q(memory),
        k(q + shape.heads * size),
        v(k + shape.kv_heads * size) {
    const auto& loops = simd_loops<T>();
    for (int64_t t = 0; t < shape.positions; ++t) {
      for (int64_t head = 0; head < shape.heads + 2 * shape.kv_heads; ++head) {
        const T* from = qkv + t * shape.width() + head * shape.d_head;
        T* to = memory + head * size + t * shape.d_head;
        if (head < shape.heads + shape.kv_heads) {
          loops.rotate(shape.d_head, turns + t * shape.d_head, T(1), from, to);
        } else {
          for (int64_t c = 0; c < shape.d_head; ++c) to[c] = from[c];
        }
      }
    }
  }
  static int64_t memory_size(const Shape& shape) { return shape.positions * shape.width(); }
  int64_t size;
  T *q, *k, *v;
};

template <typename T>
void forward_image(const Shape& shape, const T* qkv, const T* turns, T* probabilities, T* out) {
  const auto& loops = simd_loops<T>();
  const ImageHeads<T> image(shape, qkv, turns,
                            thread_scratch<T>(0, ImageHeads<T>::memory_size(shape)));
  T* k_columns = thread_scratch<T>(1, image.size);
  const int64_t group = shape.heads / shape.kv_heads;
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.d_head));
  const HeadShape head_shape{shape.positions, shape.d_head, shape.heads * shape.d_head};
  for (int64_t kv = 0; kv < shape.kv_heads; ++kv) {
    transpose(shape.positions, shape.d_head, image.k + kv * image.size, k_columns);
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      loops.attend(
          head_shape, scale, image.q + head * image.size, k_columns, image.v + kv * image.size,
          probabilities + head * shape.positions * shape.positions, out + head * shape.d_head);
    }
  }
}

template <typename T>
void backward_image(const Shape& shape, const T* qkv, const T* turns, const T* probabilities,
                    const T* upstream, T* d_qkv) {
  const auto& loops = simd_loops<T>();
  const ImageHeads<T> image(shape, qkv, turns,
                            thread_scratch<T>(0, ImageHeads<T>::memory_size(shape)));
  T* v_columns = thread_scratch<T>(1, image.size);
  T* d_head_rows = thread_scratch<T>(2, 3 * image.size);
  T *d_q = d_head_rows, *d_k = d_q + image.size, *d_v = d_k + image.size;
  T* d_row = thread_scratch<T>(3, shape.positions);
  const int64_t group = shape.heads / shape.kv_heads;
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.d_head));
  const HeadShape head_shape{shape.positions, shape.d_head, shape.heads * shape.d_head};
  const auto turn_back = [&](const T* rows, int64_t head) {
    for (int64_t t = 0; t < shape.positions; ++t) {
      loops.rotate(shape.d_head, turns + t * shape.d_head, T(-1), rows + t * shape.d_head,
                   d_qkv + t * shape.width() + head * shape.d_head);
    }
  };
  for (int64_t kv = 0; kv < shape.kv_heads; ++kv) {
    transpose(shape.positions, shape.d_head, image.v + kv * image.size, v_columns);
    std::fill(d_k, d_k + 2 * image.size, T(0));
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      loops.attend_backward(head_shape, scale, image.q + head * image.size,
                            image.k + kv * image.size, v_columns,
                            probabilities + head * shape.positions * shape.positions,
                            upstream + head * shape.d_head, d_q, d_k, d_v, d_row);
      turn_back(d_q, head);
    }
    turn_back(d_k, shape.heads + kv);
    const int64_t v_head = shape.heads + shape.kv_heads + kv;
    for (int64_t t = 0; t < shape.positions; ++t) {
      std::copy_n(d_v + t * shape.d_head, shape.d_head,
                  d_qkv + t * shape.width() + v_head * shape.d_head);
    }
  }
}

class RotaryAttentionCpu : public torch::autograd::Function<RotaryAttentionCpu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, int64_t heads,
                            int64_t kv_heads, const at::Tensor& turns) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor qkv = input.contiguous();
    const Shape shape = shape_of(qkv, heads, kv_heads);
    at::Tensor out = at::empty({shape.batch, shape.positions, heads * shape.d_head}, qkv.options());
    at::Tensor probabilities =
        at::empty({shape.batch, heads, shape.positions, shape.positions}, qkv.options());
    const at::Tensor pairs = at::view_as_real(turns).contiguous();
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "rotary_attention", [&] {
      const int64_t in_size = shape.positions * shape.width(),
                    out_size = shape.positions * heads * shape.d_head;
      const int64_t probability_size = heads * shape.positions * shape.positions;
      for_each_piece(shape.batch, [&](int64_t image) {
        forward_image(shape, qkv.data_ptr<scalar_t>() + image * in_size, pairs.data_ptr<scalar_t>(),
                      probabilities.data_ptr<scalar_t>() + image * probability_size,
                      out.data_ptr<scalar_t>() + image * out_size);
      });
    });
    context->save_for_backward({qkv, pairs, probabilities});
    context->saved_data["heads"] = heads;
    context->saved_data["kv_heads"] = kv_heads;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &pairs = saved[1], &probabilities = saved[2];
    const at::Tensor up = upstream[0].contiguous();
    const int64_t heads = context->saved_data["heads"].toInt();
    const Shape shape = shape_of(qkv, heads, context->saved_data["kv_heads"].toInt());
    at::Tensor d_qkv = at::empty_like(qkv);
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "rotary_attention_backward", [&] {
      const int64_t in_size = shape.positions * shape.width(),
                    out_size = shape.positions * heads * shape.d_head;
      const int64_t probability_size = heads * shape.positions * shape.positions;
      for_each_piece(shape.batch, [&](int64_t image) {
        backward_image(shape, qkv.data_ptr<scalar_t>() + image * in_size,
                       pairs.data_ptr<scalar_t>(),
                       probabilities.data_ptr<scalar_t>() + image * probability_size,
                       up.data_ptr<scalar_t>() + image * out_size,
                       d_qkv.data_ptr<scalar_t>() + image * in_size);
      });
    });
    return {d_qkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rotary_attention_cpu(const at::Tensor& qkv, int64_t heads, int64_t kv_heads,
                                const at::Tensor& turns) {
  return RotaryAttentionCpu::apply(qkv, heads, kv_heads, turns);
}

}  // namespace cdsp
