// Images to tokens (spec section 2):
//
//   h = W p + b,   p a patch of patch_size^2 pixels, scaled from bytes to [-1, 1]
//
// Patches go row by row over the image, each flattened row-major.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/engine.h"
#include "kernels/image_work.h"

namespace cdsp {

/// Bytes [batch, rows, cols] -> patches [batch, positions, patch_size^2] in [-1, 1].
at::Tensor patches_of(const at::Tensor& images, int64_t patch_size, at::ScalarType dtype);

/// The same by the block program of patch_embedding_blocks.h, on a GPU or emulated.
at::Tensor patches_cuda(const at::Tensor& images, int64_t patch_size, at::ScalarType dtype);

/// images uint8 [batch, rows, cols], weight [d, patch_size^2], bias [d] -> [batch, positions, d].
/// Differentiable in weight and bias.
at::Tensor embed_patches(const at::Tensor& images, int64_t patch_size, const at::Tensor& weight,
                         const at::Tensor& bias, Engine engine = Engine::kReference);

/// Engine::kFused on the host: an image's patches are made where they are multiplied.
/// Differentiable.
at::Tensor embed_patches_cpu(const at::Tensor& images, int64_t patch_size, const at::Tensor& weight,
                             const at::Tensor& bias);

/// A block program for the patches and LibTorch's product, on a GPU or emulated. Differentiable.
at::Tensor embed_patches_cuda(const at::Tensor& images, int64_t patch_size,
                              const at::Tensor& weight, const at::Tensor& bias);

/// What the former is made of; LibTorch's autograd knows nothing of it. Gradients,
/// given and set, are contiguous.
class PatchEmbeddingCpu {
 public:
  /// -> h
  ImageWork forward(const at::Tensor& images, int64_t patch_size, const at::Tensor& weight,
                    const at::Tensor& bias);
  /// From dL/dh sets `gradient` [parameters()]: those of weight and bias, flat. No result.
  ImageWork backward(const at::Tensor& upstream, const at::Tensor& gradient) const;
  int64_t parameters() const { return d_ * (patch_size_ * patch_size_ + 1); }

 private:
  int64_t patch_size_ = 0, d_ = 0;
  at::Tensor images_;
};

}  // namespace cdsp
