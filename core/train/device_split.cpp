#include "train/device_split.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace cdsp {

DeviceSplit place(const Split& split, at::Device device) {
  DeviceSplit placed;
  const int64_t n = split.size();
  // from_blob wants a mutable pointer; nothing here ever writes through it.
  placed.images = at::from_blob(const_cast<uint8_t*>(split.pixels.data()),
                                {n, split.rows, split.cols}, at::TensorOptions().dtype(at::kByte))
                      .to(device);
  placed.labels = at::from_blob(const_cast<uint8_t*>(split.labels.data()), {n},
                                at::TensorOptions().dtype(at::kByte))
                      .to(device, at::kLong);
  at::Tensor tasks = at::empty({n}, at::TensorOptions().dtype(at::kLong));
  int64_t* task_of_sample = tasks.data_ptr<int64_t>();
  for (int64_t task = 0; task < split.tasks(); ++task) {
    std::fill(task_of_sample + split.task_offsets[static_cast<size_t>(task)],
              task_of_sample + split.task_offsets[static_cast<size_t>(task) + 1], task);
  }
  placed.tasks = tasks.to(device);
  return placed;
}

Batch gather(const DeviceSplit& split, const at::Tensor& samples) {
  return {split.images.index_select(0, samples), split.labels.index_select(0, samples),
          split.tasks.index_select(0, samples)};
}

Batch slice(const DeviceSplit& split, int64_t begin, int64_t count) {
  return {split.images.narrow(0, begin, count), split.labels.narrow(0, begin, count),
          split.tasks.narrow(0, begin, count)};
}

at::Tensor one_hot_tasks(const at::Tensor& tasks, int64_t num_tasks, at::ScalarType dtype) {
  return tasks.unsqueeze(1).eq(at::arange(num_tasks, tasks.options())).to(dtype);
}

}  // namespace cdsp
