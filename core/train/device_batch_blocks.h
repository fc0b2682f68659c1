// The batch of a step (device_batch.h) as a block program, a block an image.
#pragma once

#include "base/philox.h"
#include "kernels/block_grid.h"
#include "kernels/pieces.h"

namespace cdsp {

template <typename T>
struct MakeBatch {
  static constexpr int kThreads = 128;
  using Shared = Nothing;
  using Registers = Nothing;
  struct alignas(16) Bytes {
    uint8_t x[16];
  };

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
  bool by_pieces;  // whether images are whole pieces of 16 bytes, on borders of those
  double dropout;

  int64_t blocks() const { return count; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t image, int thread, Shared&, Registers&) const {
    const int64_t sample = order[*begin + image];
    const uint8_t* from = images + sample * pixels;
    uint8_t* to = batch_images + image * pixels;
    if (by_pieces) {
      for (int64_t at = 16 * thread; at < pixels; at += 16 * kThreads)
        write_piece(read_piece<Bytes>(from + at), to + at);
    } else {
      for (int64_t pixel = thread; pixel < pixels; pixel += kThreads) to[pixel] = from[pixel];
    }
    // Another warp than that of the first pixels: they wait for memory side by side.
    if (thread != kThreads - 1) return;
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
