// The benchmarks' images: random pixels of the paper's size, since a step's cost does not depend on
// what they show.
#pragma once

#include <cstdint>

#include "config/config.h"
#include "data/dataset.h"

namespace cdsp {

inline constexpr int64_t kBenchSide = 28;  // pixels

/// So many images of every task in either split; the labels are random too.
Dataset synthetic_images(const Config& config, int64_t train_per_task, int64_t test_per_task);

/// Throws InputError if model.patch_size does not divide the images.
void require_fitting_patch(const Config& config);

}  // namespace cdsp
