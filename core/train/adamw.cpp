#include "train/adamw.h"

#include <ATen/ATen.h>

#include "kernels/flat_updates.h"

namespace cdsp {

AdamW::AdamW(const ParameterSet& parameters, const OptimizerConfig& config, Engine engine)
    : first_moment(at::zeros_like(parameters.flat())),
      second_moment(at::zeros_like(parameters.flat())),
      updates(parameters.all().size(), 0),
      parameters_(parameters),
      base_{config.lr, config.weight_decay},
      topology_{config.topology_lr, 0.0},
      engine_(engine) {}

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
  adamw_update({speed.lr, speed.weight_decay, update_count}, stretch(gradient),
               stretch(parameters_.flat()), stretch(first_moment), stretch(second_moment), engine_);
}

}  // namespace cdsp
