#include "experiment/bench_images.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace cdsp {

Dataset synthetic_images(const Config& config, int64_t train_per_task, int64_t test_per_task) {
  Dataset data;
  data.task_names = config.data.tasks;
  RandomStream random(0, RandomPurpose::kTest);
  for (const auto& [split, per_task] : {std::pair<Split*, int64_t>{&data.train, train_per_task},
                                        std::pair<Split*, int64_t>{&data.test, test_per_task}}) {
    split->rows = split->cols = kBenchSide;
    split->task_offsets.push_back(0);
    for (size_t task = 0; task < data.task_names.size(); ++task) {
      for (int64_t i = 0; i < per_task; ++i) {
        split->labels.push_back(
            static_cast<uint8_t>(random.below(static_cast<uint64_t>(config.model.classes))));
      }
      split->task_offsets.push_back(split->size());
    }
    split->pixels.resize(static_cast<size_t>(split->size() * kBenchSide * kBenchSide));
    for (uint8_t& pixel : split->pixels) pixel = static_cast<uint8_t>(random.next_u32());
  }
  data.fingerprint = "synthetic";
  return data;
}

void require_fitting_patch(const Config& config) {
  if (kBenchSide % config.model.patch_size == 0) return;
  throw InputError("model.patch_size: " + std::to_string(config.model.patch_size) +
                   " does not divide the benchmark's images of 28 x 28 pixels");
}

}  // namespace cdsp
