#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/patch_embedding.h"
#include "kernels/patch_embedding_blocks.h"

namespace cdsp {

at::Tensor patches_cuda(const at::Tensor& images_in, int64_t patch_size, at::ScalarType dtype) {
  const at::Tensor images = images_in.contiguous();
  const int64_t batch = images.size(0), rows = images.size(1), cols = images.size(2);
  const int64_t pixels = patch_size * patch_size;
  at::Tensor patches =
      at::empty({batch, rows * cols / pixels, pixels}, images.options().dtype(dtype));
  AT_DISPATCH_FLOATING_TYPES(dtype, "cut_patches", [&] {
    run_grid(CutPatches<scalar_t>{images.data_ptr<uint8_t>(), patches.data_ptr<scalar_t>(), batch,
                                  static_cast<int>(rows), static_cast<int>(cols),
                                  static_cast<int>(patch_size)},
             images.get_device());
  });
  return patches;
}

}  // namespace cdsp
