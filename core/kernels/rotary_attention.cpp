#include "kernels/rotary_attention.h"

#include <ATen/ATen.h>

#include "kernels/causal_attention.h"
#include "kernels/rotary.h"

namespace cdsp {

at::Tensor rotary_attention(const at::Tensor& qkv, int64_t heads, int64_t kv_heads,
                            const at::Tensor& turns, const at::Tensor& future, Engine engine) {
  if (uses_block_programs(engine, qkv.device()))
    return rotary_attention_cuda(qkv, heads, kv_heads, turns);
  const int64_t batch = qkv.size(0), positions = qkv.size(1),
                d_head = qkv.size(2) / (heads + 2 * kv_heads);
  const auto take = [&](int64_t first_head, int64_t count) {
    return qkv.narrow(2, first_head * d_head, count * d_head)
        .reshape({batch, positions, count, d_head});
  };
  const at::Tensor q = apply_rotary(take(0, heads), turns);
  const at::Tensor k = apply_rotary(take(heads, kv_heads), turns);
  const at::Tensor v = take(heads + kv_heads, kv_heads);
  return causal_attention(q, k, v, future).reshape({batch, positions, heads * d_head});
}

}  // namespace cdsp
