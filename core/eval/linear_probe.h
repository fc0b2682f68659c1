// The yardstick beside every accuracy: what a linear model reaches on the same images.
//
// One softmax regression per task on the raw pixels, scaled to [-1, 1], trained with AdamW on
// mini-batches. Deterministic in (data, classes, epochs, seed); no tensor library, so it runs
// beside anything.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/dataset.h"

namespace cdsp {

struct LinearProbeResult {
  std::vector<double> test_accuracy;   // [tasks], fractions
  std::vector<double> train_accuracy;  // [tasks], fractions, with the final weights
};

/// `classes`: labels are in [0, classes). `epochs`: passes over each task's training images; 20 are
/// enough for 60,000 images. `keep_going` is told the share done, from 0 to 1, some hundred times,
/// and stops the work by returning false (WorkError). Throws InputError if epochs or classes are
/// not positive or a task has no images.
LinearProbeResult linear_probe(const Dataset& dataset, int64_t classes, int64_t epochs,
                               uint64_t seed,
                               const std::function<bool(double share)>& keep_going = {});

}  // namespace cdsp
