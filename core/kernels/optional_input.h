// Tensors that a kernel may do without. LibTorch 1.13's autograd functions take no undefined
// tensors: an empty one stands for "none" on the way in.
#pragma once

#include <ATen/ATen.h>

namespace cdsp {

inline at::Tensor or_empty(const at::Tensor& tensor, const at::Tensor& like) {
  return tensor.defined() ? tensor.contiguous()
                          : at::empty({0}, like.options().requires_grad(false));
}

inline bool is_given(const at::Tensor& tensor) { return tensor.defined() && tensor.numel() > 0; }

/// Null where there is none.
template <typename T>
T* pointer_or_null(const at::Tensor& tensor) {
  return is_given(tensor) ? tensor.data_ptr<T>() : nullptr;
}

}  // namespace cdsp
