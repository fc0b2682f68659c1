// The end of the network (spec section 2): the mean over an image's tokens of their logits,
//
//   logits = mean_t (W rms_norm(h_t, w) + b) = W mean_t rms_norm(h_t, w) + b
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"
#include "kernels/image_work.h"

namespace cdsp {

/// h [batch, positions, d], norm [d], weight [classes, d], bias [classes] or undefined
/// -> [batch, classes]. Differentiable.
at::Tensor pooled_head(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                       const at::Tensor& bias, Engine engine = Engine::kReference);

/// Engine::kFused on the host: one pass forward, one backward. Differentiable.
at::Tensor pooled_head_cpu(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                           const at::Tensor& bias);

/// The block programs of pooled_head_blocks.h, on a GPU or emulated: one launch forward, one
/// backward. Differentiable.
at::Tensor pooled_head_cuda(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                            const at::Tensor& bias);

/// What pooled_head_cpu is made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class PooledHeadCpu {
 public:
  /// -> logits
  ImageWork forward(const at::Tensor& h, const at::Tensor& norm, const at::Tensor& weight,
                    const at::Tensor& bias);
  /// dL/dlogits -> dL/dh. Sets `gradient` [parameters()]: those of norm, weight and bias, flat.
  ImageWork backward(const at::Tensor& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const;

 private:
  at::Tensor h_, norm_, weight_, bias_;
  at::Tensor pooled_;  // [batch, d]
};

}  // namespace cdsp
