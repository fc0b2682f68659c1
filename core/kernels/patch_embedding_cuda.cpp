#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/patch_embedding.h"
#include "kernels/patch_embedding_blocks.h"
#include "kernels/row_sums.h"
#include "kernels/side_stream.h"

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

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// patches [tokens, pixels], weight [d, pixels], bias [d] -> [tokens, d].
class EmbedPatches : public torch::autograd::Function<EmbedPatches> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& patches,
                            const at::Tensor& weight, const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    context->save_for_backward({patches});
    return at::addmm(bias, patches, weight.t());
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const at::Tensor patches = context->get_saved_variables()[0], e = upstream[0].contiguous();
    const AsideResults d_bias =
        run_aside(e.get_device(), [e]() -> AsideResults { return {sum_of_rows_cuda(e)}; });
    return {at::Tensor(), at::mm(e.t(), patches), d_bias[0]};
  }
};

}  // namespace

at::Tensor embed_patches_cuda(const at::Tensor& images, int64_t patch_size,
                              const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor patches = patches_cuda(images, patch_size, weight.scalar_type());
  const int64_t batch = patches.size(0), positions = patches.size(1);
  return EmbedPatches::apply(patches.view({batch * positions, -1}), weight, bias)
      .view({batch, positions, weight.size(0)});
}

}  // namespace cdsp
