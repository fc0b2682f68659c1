#include "support/closeness.h"

#include <cstring>
#include <limits>

#include <ATen/ATen.h>

namespace cdsp::test {

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  if (found.numel() == 0) return 0.0;
  const at::Tensor a = found.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double scale = b.abs().max().item<double>();
  return (a - b).abs().max().item<double>() / (scale == 0.0 ? 1.0 : scale);
}

double relative_error(const std::vector<double>& found, const std::vector<double>& expected) {
  return relative_error(at::tensor(found, at::kDouble), at::tensor(expected, at::kDouble));
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const at::Tensor left = a.detach().contiguous(), right = b.detach().contiguous();
  return std::memcmp(left.data_ptr(), right.data_ptr(), left.nbytes()) == 0;
}

}  // namespace cdsp::test
