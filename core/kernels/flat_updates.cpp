#include "kernels/flat_updates.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/adamw_constants.h"
#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

constexpr int64_t kStretch = 8192;

at::Tensor flat_norm_cpu(const at::Tensor& flat) {
  const int64_t n = flat.numel(), stretches = pieces_of(n, kStretch);
  std::vector<double> squares(static_cast<size_t>(stretches));
  AT_DISPATCH_FLOATING_TYPES(flat.scalar_type(), "flat_norm", [&] {
    const scalar_t* x = flat.data_ptr<scalar_t>();
    for_each_piece(stretches, [&](int64_t i) {
      const scalar_t* from = x + i * kStretch;
      const int64_t length = std::min(kStretch, n - i * kStretch);
      squares[static_cast<size_t>(i)] = simd_loops<scalar_t>().dot(length, from, from);
    });
  });
  double sum = 0.0;
  for (const double square : squares) sum += square;
  return at::full({}, std::sqrt(sum), flat.options());
}

/// clip_to_norm() given the norm, where that is at hand.
void scale_to_norm_cpu(const at::Tensor& flat, double clip_norm, const at::Tensor& norm) {
  const int64_t n = flat.numel();
  AT_DISPATCH_FLOATING_TYPES(flat.scalar_type(), "scale_to_norm", [&] {
    const scalar_t found =
        *norm.data_ptr<scalar_t>() + static_cast<scalar_t>(adamw_constant::kClipEpsilon);
    const scalar_t factor = static_cast<scalar_t>(clip_norm) / found;
    if (factor >= scalar_t(1)) return;
    scalar_t* x = flat.data_ptr<scalar_t>();
    for_each_piece(pieces_of(n, kStretch), [&](int64_t i) {
      scalar_t* from = x + i * kStretch;
      simd_loops<scalar_t>().scale(std::min(kStretch, n - i * kStretch), factor, from, from);
    });
  });
}

void adamw_update_cpu(const AdamWStep& step, const at::Tensor& gradient,
                      const at::Tensor& parameter, const at::Tensor& first,
                      const at::Tensor& second) {
  const int64_t n = gradient.numel();
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "adamw_update", [&] {
    const scalar_t* g = gradient.data_ptr<scalar_t>();
    scalar_t *p = parameter.data_ptr<scalar_t>(), *m = first.data_ptr<scalar_t>(),
             *v = second.data_ptr<scalar_t>();
    for_each_piece(pieces_of(n, kStretch), [&](int64_t i) {
      const int64_t at = i * kStretch;
      simd_loops<scalar_t>().adamw(std::min(kStretch, n - at), step, g + at, p + at, m + at,
                                   v + at);
    });
  });
}

}  // namespace

at::Tensor flat_norm(const at::Tensor& flat, Engine engine) {
  if (engine == Engine::kFused && flat.device().is_cpu()) return flat_norm_cpu(flat);
  return flat.norm();
}

at::Tensor clip_to_norm(at::Tensor flat, double clip_norm, Engine engine) {
  at::Tensor norm = flat_norm(flat, engine);
  if (engine == Engine::kFused && flat.device().is_cpu()) {
    if (clip_norm > 0.0) scale_to_norm_cpu(flat, clip_norm, norm);
    return norm;
  }
  if (clip_norm > 0.0)
    flat.mul_((clip_norm / (norm + adamw_constant::kClipEpsilon)).clamp_max(1.0));
  return norm;
}

void adamw_update(const AdamWRates& rates, const at::Tensor& gradient, at::Tensor parameter,
                  at::Tensor first, at::Tensor second, Engine engine) {
  using namespace adamw_constant;
  const double correction1 = 1.0 - std::pow(kBeta1, static_cast<double>(rates.t));
  const double correction2 = 1.0 - std::pow(kBeta2, static_cast<double>(rates.t));
  if (engine == Engine::kFused && gradient.device().is_cpu()) {
    adamw_update_cpu({kBeta1, kBeta2, kEpsilon, 1.0 - kBeta1, 1.0 - kBeta2, rates.lr / correction1,
                      1.0 - rates.lr * rates.weight_decay, 1.0 / std::sqrt(correction2)},
                     gradient, parameter, first, second);
    return;
  }
  parameter.mul_(1.0 - rates.lr * rates.weight_decay);
  first.mul_(kBeta1).add_(gradient, 1.0 - kBeta1);
  second.mul_(kBeta2).addcmul_(gradient, gradient, 1.0 - kBeta2);
  const at::Tensor denominator = second.sqrt().div_(std::sqrt(correction2)).add_(kEpsilon);
  parameter.addcdiv_(first, denominator, -rates.lr / correction1);
}

}  // namespace cdsp
