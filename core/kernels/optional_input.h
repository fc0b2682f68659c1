// What a kernel asks of its tensors: whether they are there, and where they lie. LibTorch 1.13's
// autograd functions take no undefined tensors: an empty one (a batch of none, too) stands for
// "none" on the way in.
#pragma once

#include <cstdint>

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

/// Whether a tensor can be read 16 bytes at a time.
inline bool is_on_border(const at::Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0;
}

}  // namespace cdsp
