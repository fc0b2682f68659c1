#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/expert_gradients.h"
#include "kernels/expert_gradients_blocks.h"
#include "kernels/optional_input.h"

namespace cdsp {
namespace {

/// Fills `out`; gate and mask may be undefined, and the totals.
void add_up(const ExpertGradientInputs& in, const at::Tensor& gate, const at::Tensor& mask,
            const ExpertGradientSums& out) {
  const ExpertRows& rows = in.rows;
  AT_DISPATCH_FLOATING_TYPES(in.x.scalar_type(), "expert_gradients", [&] {
    const auto pointer = [](const at::Tensor& tensor) { return tensor.data_ptr<scalar_t>(); };
    const ExpertSums<scalar_t> sums{
        rows.owner.data_ptr<int>(),
        rows.first_chunk.data_ptr<int>(),
        pointer_or_null<scalar_t>(mask),
        static_cast<int>(rows.chunk),
        static_cast<int>(rows.chunks),
        static_cast<int>(in.experts),
        static_cast<int>(in.x.size(1)),
        static_cast<int>(in.z.size(1)),
        static_cast<int>(mask.defined() ? in.z.size(1) : in.z.size(1) / in.experts)};
    const at::Tensor parts = at::empty({rows.chunks, 2, sums.size()}, in.x.options());
    const bool by_quads = sums.d % 4 == 0 && sums.columns % 4 == 0 && sums.narrow % 4 == 0 &&
                          is_on_border(in.x) && is_on_border(in.upstream) && is_on_border(in.z) &&
                          is_on_border(in.d_hidden);
    run_grid(ExpertOuterSums<scalar_t>{sums, rows.token.data_ptr<int>(), pointer(rows.weight),
                                       pointer(in.x), pointer(in.upstream), pointer(in.z),
                                       pointer(in.d_hidden), pointer(parts), by_quads},
             in.x.get_device());
    run_grid(FinishExpertSums<scalar_t>{sums, pointer(parts), pointer_or_null<scalar_t>(gate),
                                        pointer(out.first), pointer(out.second),
                                        pointer_or_null<scalar_t>(out.first_total),
                                        pointer_or_null<scalar_t>(out.second_total)},
             in.x.get_device());
  });
}

}  // namespace

ExpertGradientSums backbone_gradients_cuda(const ExpertGradientInputs& in, const at::Tensor& gate,
                                           const at::Tensor& mask) {
  const int64_t experts = mask.size(0), d = in.x.size(1), columns = mask.size(1);
  const at::TensorOptions options = in.x.options();
  ExpertGradientSums out{at::empty({experts, d, columns}, options),
                         at::empty({experts, columns, d}, options),
                         at::empty({d, columns}, options), at::empty({columns, d}, options)};
  add_up(in, gate, mask, out);
  return out;
}

ExpertGradientSums own_column_gradients_cuda(const ExpertGradientInputs& in) {
  const int64_t experts = in.experts, d = in.x.size(1), width = in.z.size(1) / experts;
  const at::TensorOptions options = in.x.options();
  ExpertGradientSums out{
      at::empty({experts, width, d}, options), at::empty({experts, d, width}, options), {}, {}};
  add_up(in, {}, {}, out);
  return out;
}

}  // namespace cdsp
