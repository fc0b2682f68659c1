#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "conflict/conflict_terms.h"
#include "conflict/conflict_terms_blocks.h"

namespace cdsp {

at::Tensor conflict_terms_cuda(const at::Tensor& alpha_in, const at::Tensor& lagged_in,
                               const at::Tensor& active_in, const ConflictConfig& config,
                               bool is_first, const at::Tensor& epoch_conflict,
                               const at::Tensor& terms) {
  const at::Tensor alpha = alpha_in.contiguous(), lagged = lagged_in.contiguous(),
                   active = active_in.contiguous();
  at::Tensor gradient = at::empty(alpha.sizes(), lagged.options());
  AT_DISPATCH_FLOATING_TYPES(alpha.scalar_type(), "conflict_terms", [&] {
    run_grid(ConflictTerms<scalar_t>{alpha.data_ptr<scalar_t>(), lagged.data_ptr<scalar_t>(),
                                     active.data_ptr<bool>(), gradient.data_ptr<scalar_t>(),
                                     epoch_conflict.data_ptr<double>(), terms.data_ptr<double>(),
                                     static_cast<int>(alpha.size(0)), is_first, config.penalty,
                                     config.lambda, config.l1, config.determinism},
             alpha.get_device());
  });
  return gradient;
}

}  // namespace cdsp
