// The images of all tasks, held once, as bytes.
//
// A Split keeps the images of every task one after the other, in the order of `data.tasks`; a
// sample's global index is its position there (the index that `data.order_file` uses). Pixels stay
// uint8 and are scaled to [-1, 1] on the fly, so 180,000 images of 28x28 take 141 MB.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

struct Split {
  int64_t rows = 0;  // pixels
  int64_t cols = 0;
  std::vector<uint8_t> pixels;  // [size, rows * cols], row-major
  std::vector<uint8_t> labels;  // [size], after the label scheme
  /// [tasks + 1]: task t owns samples task_offsets[t] ... task_offsets[t + 1] - 1
  std::vector<int64_t> task_offsets;

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t tasks() const { return static_cast<int64_t>(task_offsets.size()) - 1; }
  int64_t task_size(int64_t task) const {
    return task_offsets[static_cast<size_t>(task) + 1] - task_offsets[static_cast<size_t>(task)];
  }
};

struct Dataset {
  std::vector<std::string> task_names;
  Split train;
  Split test;
  std::string fingerprint;  // 16 hex digits of a hash over task names, shapes, pixels and labels
};

/// Loads (data.source idx) or draws (glyphs) all tasks, applies limit_per_task and the label
/// scheme. Throws InputError naming the file and what is wrong: missing, truncated, wrong magic,
/// counts that disagree, a label out of range [0, model.classes), images of unequal shape, a shape
/// that the patch does not divide.
Dataset load_dataset(const Config& config);

}  // namespace cdsp
