// A split of the data where the network can reach it, and batches taken from it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "data/dataset.h"

namespace cdsp {

/// On the host the images are a view of the Split's bytes (which must outlive this); on a GPU they
/// are copied there once, still as bytes.
struct DeviceSplit {
  at::Tensor images;  // uint8 [n, rows, cols]
  at::Tensor labels;  // int64 [n]
  at::Tensor tasks;   // int64 [n]
};

struct Batch {
  at::Tensor images;  // uint8 [b, rows, cols]
  at::Tensor labels;  // int64 [b]
  at::Tensor tasks;   // int64 [b]
};

DeviceSplit place(const Split& split, at::Device device);

/// The samples with these global indices (int64 [count], on the split's device), in this order.
Batch gather(const DeviceSplit& split, const at::Tensor& samples);
/// The samples begin ... begin + count - 1, without a copy.
Batch slice(const DeviceSplit& split, int64_t begin, int64_t count);

/// tasks int64 [b] -> [b, num_tasks] in `dtype`: 1 at the sample's task.
at::Tensor one_hot_tasks(const at::Tensor& tasks, int64_t num_tasks, at::ScalarType dtype);

}  // namespace cdsp
