#include "conflict/lagged_signal.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/gramian_cosines.h"
#include "conflict/lagged_signal_blocks.h"

namespace cdsp {

void write_lagged_signal(const ExpertGradients& gradients, const at::Tensor& mask_in,
                         const at::Tensor& active_in, ConflictGradient kind,
                         const at::Tensor& lagged) {
  const at::Tensor u = gradients.u.contiguous(), v = gradients.v.contiguous(),
                   mask = mask_in.contiguous(), active = active_in.contiguous();
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "write_lagged_signal", [&] {
    run_grid(
        LaggedSignal<scalar_t>{u.data_ptr<scalar_t>(),
                               kind == ConflictGradient::kUv ? v.data_ptr<scalar_t>() : nullptr,
                               mask.data_ptr<scalar_t>(), active.data_ptr<bool>(),
                               lagged.data_ptr<scalar_t>(), static_cast<int>(mask.size(0)),
                               static_cast<int>(u.size(1)), static_cast<int>(mask.size(1)),
                               static_cast<scalar_t>(kGradientNormEpsilon)},
        u.get_device());
  });
}

}  // namespace cdsp
