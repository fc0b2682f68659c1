// The batch of a step (device_batch.h) as a block program, a block an image.
#pragma once

#include "base/philox.h"
#include "kernels/block_grid.h"

namespace cdsp {

template <typename T>
struct MakeBatch {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;

  const uint8_t* images;  // [n, pixels]
  const int64_t *labels, *tasks, *order;
  const int64_t *step, *begin;  // counters
  uint8_t* batch_images;
  int64_t *batch_labels, *batch_tasks;
  T* one_hot;  // [count, num_tasks]
  uint8_t* told;
  int64_t count, pixels, num_tasks;
  uint64_t seed;
  uint32_t purpose;
  bool one_draw_for_all;
  double dropout;

  int64_t blocks() const { return count; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t image, int thread, Shared&, Registers&) const {
    const int64_t sample = order[*begin + image];
    for (int64_t pixel = thread; pixel < pixels; pixel += kThreads) {
      batch_images[image * pixels + pixel] = images[sample * pixels + pixel];
    }
    if (thread > 0) return;
    const uint64_t name = stream_name(purpose, static_cast<uint64_t>(*step));
    const uint64_t draw = one_draw_for_all ? 0 : static_cast<uint64_t>(image);
    const bool kept = !(uniform_at(seed, name, draw) < dropout);
    batch_labels[image] = labels[sample];
    batch_tasks[image] = tasks[sample];
    told[image] = kept ? 1 : 0;
    for (int64_t task = 0; task < num_tasks; ++task) {
      one_hot[image * num_tasks + task] = kept && task == tasks[sample] ? T(1) : T(0);
    }
  }
};

}  // namespace cdsp
