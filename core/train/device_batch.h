// The batch of a step, made on the device: which images, and who of them keeps the task (paper
// Eq. 11), from counters that live there too.
//
//   sample of image i = order[begin + i]
//   kept_i = 0 where draw i of the stream (seed, task dropout, step) is below p, else 1
//
// The draws are those of draw_task_kept (train/task_dropout.h), to the bit: Philox is a function of
// its counter, so image i's draw needs none of those before it.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "train/device_split.h"
#include "train/step_counters.h"

namespace cdsp {

struct DeviceBatch {
  Batch batch;
  at::Tensor tasks;  // [b, num_tasks] in the network's dtype: the task's one-hot row times kept
  at::Tensor told;   // uint8 [b]: kept
};

/// `count` images from counters[kBegin] on; order int64 [epoch size]. All on split's device.
DeviceBatch make_device_batch(const DeviceSplit& split, const at::Tensor& order,
                              const at::Tensor& counters, int64_t count, int64_t num_tasks,
                              at::ScalarType dtype, const RouterConfig& config, uint64_t seed);

}  // namespace cdsp
