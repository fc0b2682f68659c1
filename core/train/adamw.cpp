#include "train/adamw.h"

#include <cmath>

#include <ATen/ATen.h>

namespace cdsp {
namespace {
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;
}  // namespace

AdamW::AdamW(const ParameterSet& parameters, const OptimizerConfig& config)
    : first_moment(at::zeros_like(parameters.flat())),
      second_moment(at::zeros_like(parameters.flat())),
      updates(parameters.all().size(), 0),
      parameters_(parameters),
      base_{config.lr, config.weight_decay},
      topology_{config.topology_lr, 0.0} {}

void AdamW::step(const at::Tensor& gradient, const std::vector<bool>& reached) {
  const auto& all = parameters_.all();
  // Neighbours with the same speed and count are updated as one stretch.
  int64_t begin = 0;
  for (size_t first = 0; first < all.size();) {
    size_t last = first;
    int64_t length = 0;
    while (last < all.size() && reached[last] == reached[first] &&
           updates[last] == updates[first] && all[last].group == all[first].group) {
      length += all[last].value.numel();
      ++last;
    }
    if (reached[first]) {
      const Speed& speed = all[first].group == ParameterGroup::kTopology ? topology_ : base_;
      update(begin, length, updates[first] + 1, speed, gradient);
      for (size_t i = first; i < last; ++i) ++updates[i];
    }
    begin += length;
    first = last;
  }
}

void AdamW::update(int64_t begin, int64_t length, int64_t update_count, const Speed& speed,
                   const at::Tensor& gradient) {
  const auto stretch = [begin, length](const at::Tensor& flat) {
    return flat.narrow(0, begin, length);
  };
  const at::Tensor g = stretch(gradient);
  at::Tensor p = stretch(parameters_.flat()), m = stretch(first_moment), v = stretch(second_moment);
  const double correction1 = 1.0 - std::pow(kBeta1, static_cast<double>(update_count));
  const double correction2 = 1.0 - std::pow(kBeta2, static_cast<double>(update_count));
  p.mul_(1.0 - speed.lr * speed.weight_decay);
  m.mul_(kBeta1).add_(g, 1.0 - kBeta1);
  v.mul_(kBeta2).addcmul_(g, g, 1.0 - kBeta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(correction2)).add_(kEpsilon);
  p.addcdiv_(m, denominator, -speed.lr / correction1);
}

}  // namespace cdsp
