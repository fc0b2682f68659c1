#include "kernels/rotary.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor rotary_turns(int64_t positions, int64_t d_head, const at::Tensor& like) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor pair = at::arange(0, d_head, 2, options);
  const at::Tensor frequency = at::pow(kRotaryBase, pair / static_cast<double>(-d_head));
  const at::Tensor angle = at::outer(at::arange(positions, options), frequency);
  const at::Tensor turns = at::complex(at::cos(angle), at::sin(angle));
  const auto dtype = like.scalar_type() == at::kDouble ? at::kComplexDouble : at::kComplexFloat;
  return turns.to(like.device(), dtype);
}

at::Tensor apply_rotary(const at::Tensor& x, const at::Tensor& turns) {
  const int64_t batch = x.size(0), positions = x.size(1), heads = x.size(2), d_head = x.size(3);
  const at::Tensor pairs = at::view_as_complex(x.reshape({batch, positions, heads, d_head / 2, 2}));
  const at::Tensor turned = pairs * turns.unsqueeze(1);
  return at::view_as_real(turned).reshape({batch, positions, heads, d_head});
}

}  // namespace cdsp
