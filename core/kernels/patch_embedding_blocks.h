// Cutting images into patches (patch_embedding.h) as a block program, a thread a pixel.
#pragma once

#include "kernels/block_grid.h"

namespace cdsp {

/// images [batch, rows, cols] of bytes -> patches [batch * positions, patch * patch] in -1 .. 1.
template <typename T>
struct CutPatches {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Registers = Nothing;

  const uint8_t* images;
  T* patches;
  int64_t batch;
  int rows, cols, patch;

  CDSP_HOST_DEVICE int64_t pixels() const { return batch * rows * cols; }
  int64_t blocks() const { return (pixels() + kThreads - 1) / kThreads; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 1; }
  CDSP_HOST_DEVICE void run(int, int64_t block, int thread, Shared&, Registers&) const {
    const int64_t at = block * kThreads + thread;
    if (at >= pixels()) return;
    const int64_t image = at / (rows * cols);
    const int in_image = static_cast<int>(at - image * (rows * cols));
    const int position = in_image / (patch * patch), pixel = in_image % (patch * patch);
    const int across = cols / patch;
    const int row = position / across * patch + pixel / patch;
    const int col = position % across * patch + pixel % patch;
    patches[at] =
        static_cast<T>(images[image * (rows * cols) + row * cols + col]) / T(127.5) - T(1);
  }
};

}  // namespace cdsp
