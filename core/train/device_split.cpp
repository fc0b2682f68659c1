#include "train/device_split.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

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

namespace {

int64_t existing(int64_t sample, int64_t count) {
  if (sample >= 0 && sample < count) return sample;
  throw std::out_of_range("sample " + std::to_string(sample) + " of " + std::to_string(count));
}

/// LibTorch's index_select wakes its threads for a batch of images, which takes longer than copying
/// them.
at::Tensor gather_images(const at::Tensor& images, const at::Tensor& samples) {
  if (!images.device().is_cpu() || !images.is_contiguous() || !samples.is_contiguous())
    return images.index_select(0, samples);
  const int64_t n = images.size(0), count = samples.numel(), bytes = images.stride(0);
  at::Tensor gathered = at::empty({count, images.size(1), images.size(2)}, images.options());
  const uint8_t* from = images.data_ptr<uint8_t>();
  uint8_t* to = gathered.data_ptr<uint8_t>();
  const int64_t* sample = samples.data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * bytes, from + existing(sample[i], n) * bytes, static_cast<size_t>(bytes));
  }
  return gathered;
}

at::Tensor gather_numbers(const at::Tensor& numbers, const at::Tensor& samples) {
  if (!numbers.device().is_cpu() || !numbers.is_contiguous() || !samples.is_contiguous())
    return numbers.index_select(0, samples);
  const int64_t n = numbers.size(0), count = samples.numel();
  at::Tensor gathered = at::empty({count}, numbers.options());
  const int64_t *from = numbers.data_ptr<int64_t>(), *sample = samples.data_ptr<int64_t>();
  int64_t* to = gathered.data_ptr<int64_t>();
  for (int64_t i = 0; i < count; ++i) to[i] = from[existing(sample[i], n)];
  return gathered;
}

}  // namespace

Batch gather(const DeviceSplit& split, const at::Tensor& samples) {
  return {gather_images(split.images, samples), gather_numbers(split.labels, samples),
          gather_numbers(split.tasks, samples)};
}

Batch slice(const DeviceSplit& split, int64_t begin, int64_t count) {
  return {split.images.narrow(0, begin, count), split.labels.narrow(0, begin, count),
          split.tasks.narrow(0, begin, count)};
}

at::Tensor one_hot_tasks(const at::Tensor& tasks, int64_t num_tasks, at::ScalarType dtype) {
  return tasks.unsqueeze(1).eq(at::arange(num_tasks, tasks.options())).to(dtype);
}

}  // namespace cdsp
