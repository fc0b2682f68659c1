#include "kernels/clipped_adamw.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/clipped_adamw_blocks.h"

namespace cdsp {

void clipped_adamw_step(const FlatAdamWState& state, const at::Tensor& gradient_in,
                        const at::Tensor& reached, const at::Tensor& loss, double clip_norm,
                        const at::Tensor& grad_norm) {
  const at::Tensor gradient = gradient_in.contiguous();
  const int64_t count = gradient.numel();
  const int64_t device = gradient.get_device();
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "clipped_adamw_step", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const auto parameters = static_cast<int>(state.updates.numel());
    const at::Tensor factors = at::empty({parameters, 3}, gradient.options());
    SquareSums<scalar_t> sums{pointer(gradient),
                              state.rate.data_ptr<double>(),
                              state.decay.data_ptr<double>(),
                              state.updates.data_ptr<int64_t>(),
                              nullptr,
                              pointer(factors),
                              count,
                              parameters};
    const at::Tensor squares =
        at::empty({sums.blocks()}, gradient.options().dtype(at::kDouble).requires_grad(false));
    sums.squares = squares.data_ptr<double>();
    run_grid(sums, device);
    run_grid(UpdateNumbers<scalar_t>{pointer(state.value), pointer(state.first_moment),
                                     pointer(state.second_moment), pointer(grad_norm),
                                     pointer(gradient), pointer(loss), pointer(factors),
                                     squares.data_ptr<double>(), state.owner.data_ptr<int32_t>(),
                                     state.spoilt.data_ptr<int32_t>(), reached.data_ptr<uint8_t>(),
                                     count, static_cast<int>(sums.blocks()), clip_norm},
             device);
    run_grid(CountUpdates<scalar_t>{state.updates.data_ptr<int64_t>(),
                                    state.spoilt.data_ptr<int32_t>(), reached.data_ptr<uint8_t>(),
                                    pointer(loss), pointer(grad_norm), parameters},
             device);
  });
}

}  // namespace cdsp
