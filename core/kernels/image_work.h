// The fused CPU kernels that work image by image hand out their work in pieces of a few images, so
// that several of them can take the same images one after the other while what they hand on is
// still in the caches, and threads meet less often.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>

#include <ATen/core/Tensor.h>

#include "kernels/work_queue.h"

namespace cdsp {

/// Images of a piece, and of one share of a weight's gradient. Fixed, so that sums do not depend on
/// the number of threads.
inline constexpr int64_t kImagesPerPiece = 8;

/// images(begin, end): what a kernel does with these; and what it does once all are done, if
/// anything. `result` is complete then.
struct ImageWork {
  at::Tensor result;
  std::function<void(int64_t begin, int64_t end)> images;
  std::function<void()> finish = {};
};

/// Each kernel takes the pieces in the order of the list.
inline void run_image_work(int64_t batch, std::initializer_list<const ImageWork*> kernels) {
  for_each_piece(pieces_of(batch, kImagesPerPiece), [&](int64_t piece) {
    const int64_t begin = piece * kImagesPerPiece, end = std::min(batch, begin + kImagesPerPiece);
    for (const ImageWork* kernel : kernels) kernel->images(begin, end);
  });
  for (const ImageWork* kernel : kernels) {
    if (kernel->finish) kernel->finish();
  }
}

/// One kernel alone.
inline at::Tensor run_image_work(int64_t batch, const ImageWork& kernel) {
  run_image_work(batch, {&kernel});
  return kernel.result;
}

}  // namespace cdsp
