// A data set and a config small enough that a training step takes a millisecond.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "model/network.h"
#include "train/device_split.h"

namespace cdsp::test {

struct TinyShape {
  std::vector<int64_t> train = {5, 4, 4};  // images of each task
  std::vector<int64_t> test = {4, 3, 5};
  int64_t rows = 8, cols = 8;
  int64_t classes = 4;
  uint64_t seed = 1;

  int64_t tasks() const { return static_cast<int64_t>(train.size()); }
};

/// Random pixels and labels.
Dataset tiny_dataset(const TinyShape& shape = {});

/// Two blocks of width 8, 2 of 4 experts a token, 22 physical dimensions (two belong to nobody),
/// rank 11, float64, batches of 4 images, no task dropout.
Config tiny_config(Variant variant = Variant::kCdsp);

InputShape input_shape_of(const TinyShape& shape);

/// The first `count` images of the split.
Batch first_images(const Split& split, int64_t count);

/// The parameter of that name.
at::Tensor parameter_of(const Network& network, const std::string& name);

}  // namespace cdsp::test
