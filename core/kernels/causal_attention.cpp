#include "kernels/causal_attention.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor causal_mask(int64_t positions, at::Device device) {
  return at::ones({positions, positions}, at::TensorOptions().dtype(at::kBool).device(device))
      .triu(1);
}

at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& future) {
  const int64_t batch = q.size(0), positions = q.size(1), heads = q.size(2), d_head = q.size(3);
  const int64_t kv_heads = k.size(2), group = heads / kv_heads;
  // The heads that share a key/value head are stacked along the query axis, so that one product
  // serves them all and keys and values are never repeated.
  const at::Tensor queries = q.view({batch, positions, kv_heads, group, d_head})
                                 .permute({0, 2, 3, 1, 4})
                                 .reshape({batch * kv_heads, group * positions, d_head});
  const at::Tensor keys = k.permute({0, 2, 3, 1}).reshape({batch * kv_heads, d_head, positions});
  const at::Tensor values = v.permute({0, 2, 1, 3}).reshape({batch * kv_heads, positions, d_head});

  const at::Tensor scores =
      (at::bmm(queries, keys) * (1.0 / std::sqrt(static_cast<double>(d_head))))
          .view({batch * kv_heads, group, positions, positions})
          .masked_fill(future, -std::numeric_limits<double>::infinity());
  const at::Tensor attention = at::softmax(scores, -1);
  const at::Tensor mixed =
      at::bmm(attention.view({batch * kv_heads, group * positions, positions}), values);
  return mixed.view({batch, kv_heads, group, positions, d_head})
      .permute({0, 3, 1, 2, 4})
      .reshape({batch, positions, heads, d_head});
}

}  // namespace cdsp
