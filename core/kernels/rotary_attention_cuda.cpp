#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "kernels/optional_input.h"
#include "kernels/rotary_attention.h"
#include "kernels/rotary_attention_blocks.h"
#include "kernels/rotary_attention_short_blocks.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Calls body with the smallest compiled head width that holds d_head, as a type.
template <typename Body>
void with_head_width(int64_t d_head, const Body& body) {
  if (d_head <= 16) return body(std::integral_constant<int, 16>());
  if (d_head <= 32) return body(std::integral_constant<int, 32>());
  if (d_head <= 64) return body(std::integral_constant<int, 64>());
  if (d_head <= kWidestCudaHead) return body(std::integral_constant<int, kWidestCudaHead>());
  throw std::logic_error("a head of " + std::to_string(d_head) + " numbers: resolve_engine()");
}

template <typename T>
AttentionSizes<T> sizes_of(const at::Tensor& qkv, int64_t heads, int64_t kv_heads) {
  const int64_t d_head = qkv.size(2) / (heads + 2 * kv_heads);
  if (qkv.size(1) * qkv.size(2) > std::numeric_limits<int32_t>::max())
    throw std::length_error("attention over an image of more than 2^31 - 1 numbers");
  const double scale = 1.0 / std::sqrt(static_cast<double>(d_head));
  return {qkv.size(0),
          static_cast<int>(qkv.size(1)),
          static_cast<int>(heads),
          static_cast<int>(kv_heads),
          static_cast<int>(d_head),
          static_cast<int>(heads / kv_heads),
          static_cast<uint32_t>(((int64_t{1} << 31) + heads / kv_heads - 1) / (heads / kv_heads)),
          d_head % 4 == 0,
          static_cast<T>(scale),
          static_cast<T>(scale * attention_block::kLog2OfE)};
}

/// Contiguous, and its first number where the programs may read quads from.
at::Tensor readable(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return is_on_border(whole) ? whole : whole.clone();
}

class RotaryAttentionCuda : public torch::autograd::Function<RotaryAttentionCuda> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv_in, int64_t heads,
                            int64_t kv_heads, const at::Tensor& complex_turns) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor qkv = readable(qkv_in), turns = readable(at::view_as_real(complex_turns));
    const int64_t batch = qkv.size(0), positions = qkv.size(1),
                  d_head = qkv.size(2) / (heads + 2 * kv_heads);
    at::Tensor mixed = at::empty({batch, positions, heads * d_head}, qkv.options());
    at::Tensor log_sums = at::empty({batch, positions, heads}, qkv.options());
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "rotary_attention", [&] {
      with_head_width(d_head, [&](auto width) {
        run_grid(
            AttentionForward<scalar_t, decltype(width)::value>{
                sizes_of<scalar_t>(qkv, heads, kv_heads), qkv.data_ptr<scalar_t>(),
                turns.data_ptr<scalar_t>(), mixed.data_ptr<scalar_t>(),
                log_sums.data_ptr<scalar_t>()},
            qkv.get_device());
      });
    });
    context->save_for_backward({qkv, turns, mixed, log_sums});
    context->saved_data["heads"] = heads;
    context->saved_data["kv_heads"] = kv_heads;
    return mixed;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &qkv = saved[0], &turns = saved[1], &mixed = saved[2], &log_sums = saved[3];
    const int64_t heads = context->saved_data["heads"].toInt(),
                  kv_heads = context->saved_data["kv_heads"].toInt(),
                  d_head = qkv.size(2) / (heads + 2 * kv_heads);
    const at::Tensor up = readable(upstream[0]);
    at::Tensor d_qkv = at::empty_like(qkv);
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "rotary_attention_backward", [&] {
      const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
      const auto size = sizes_of<scalar_t>(qkv, heads, kv_heads);
      if (AttentionBackwardShort<scalar_t>::fits(size)) {
        return run_grid(
            AttentionBackwardShort<scalar_t>{size, pointer(qkv), pointer(turns), pointer(mixed),
                                             pointer(log_sums), pointer(up), pointer(d_qkv)},
            qkv.get_device());
      }
      const at::Tensor deltas = at::empty_like(log_sums);
      with_head_width(d_head, [&](auto width) {
        constexpr int kHead = decltype(width)::value;
        run_grid(
            AttentionBackwardQueries<scalar_t, kHead>{size, pointer(qkv), pointer(turns),
                                                      pointer(mixed), pointer(log_sums),
                                                      pointer(up), pointer(d_qkv), pointer(deltas)},
            qkv.get_device());
        run_grid(AttentionBackwardKeys<scalar_t, kHead>{size, pointer(qkv), pointer(turns),
                                                        pointer(log_sums), pointer(up),
                                                        pointer(deltas), pointer(d_qkv)},
                 qkv.get_device());
      });
    });
    return {d_qkv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rotary_attention_cuda(const at::Tensor& qkv, int64_t heads, int64_t kv_heads,
                                 const at::Tensor& turns) {
  return RotaryAttentionCuda::apply(qkv, heads, kv_heads, turns);
}

}  // namespace cdsp
