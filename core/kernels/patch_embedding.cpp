#include "kernels/patch_embedding.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor patches_of(const at::Tensor& images, int64_t patch_size, at::ScalarType dtype) {
  const int64_t batch = images.size(0);
  const int64_t down = images.size(1) / patch_size, across = images.size(2) / patch_size;
  return images.view({batch, down, patch_size, across, patch_size})
      .permute({0, 1, 3, 2, 4})
      .reshape({batch, down * across, patch_size * patch_size})
      .to(dtype)
      .div_(127.5)
      .sub_(1.0);
}

at::Tensor embed_patches(const at::Tensor& images, int64_t patch_size, const at::Tensor& weight,
                         const at::Tensor& bias, Engine engine) {
  if (engine == Engine::kFused && weight.device().is_cpu()) {
    return embed_patches_cpu(images, patch_size, weight, bias);
  }
  if (uses_block_programs(engine, weight.device()))
    return embed_patches_cuda(images, patch_size, weight, bias);
  const at::Tensor patches = patches_of(images, patch_size, weight.scalar_type());
  const int64_t batch = patches.size(0), positions = patches.size(1);
  return at::addmm(bias, patches.view({batch * positions, -1}), weight.t())
      .view({batch, positions, weight.size(0)});
}

}  // namespace cdsp
