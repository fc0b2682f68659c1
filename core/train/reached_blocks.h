// Which parameters a step moves, as a block program.
#pragma once

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// Which parameters a loss reaches in this step: those that it can reach, without what it reaches
/// through a task only where no image was told its task. One block.
struct ReachedParameters {
  static constexpr int kThreads = 256;
  struct Shared {
    int told[kThreads];
  };
  using Registers = Nothing;

  const uint8_t *can_reach, *untold;  // [parameters]; 0 in untold: through a task only
  const uint8_t* told;                // [images]
  uint8_t* reached;                   // [parameters]
  int64_t images;
  int parameters;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared& shared, Registers&) const {
    if (phase == 0) {
      int found = 0;
      for (int64_t image = thread; image < images; image += kThreads) found += told[image];
      shared.told[thread] = found;
    } else if (phase == 1) {
      sum_groups(shared.told, thread);
    } else {
      const bool is_told = sum_of_groups(shared.told) > 0;
      for (int p = thread; p < parameters; p += kThreads) {
        reached[p] = can_reach[p] != 0 && (untold[p] != 0 || is_told) ? 1 : 0;
      }
    }
  }
};

}  // namespace cdsp
