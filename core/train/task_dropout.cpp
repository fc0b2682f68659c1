#include "train/task_dropout.h"

#include "base/random.h"

namespace cdsp {

std::vector<double> draw_task_kept(const RouterConfig& config, uint64_t seed, int64_t step,
                                   int64_t batch) {
  RandomStream random(seed, RandomPurpose::kTaskDropout, static_cast<uint64_t>(step));
  const auto draw = [&] { return random.uniform() < config.task_dropout ? 0.0 : 1.0; };
  std::vector<double> kept(static_cast<size_t>(batch), 1.0);
  if (config.dropout_unit == DropoutUnit::kBatch) {
    kept.assign(kept.size(), draw());
  } else {
    for (double& keep : kept) keep = draw();
  }
  return kept;
}

}  // namespace cdsp
