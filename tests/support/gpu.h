// Tests that need a GPU say so where there is none, and are over.
#pragma once

#include "support/catch.h"
#include "train/runtime.h"

namespace cdsp::test {

/// Whether the project's CUDA kernels can run here; if not, says why the test is skipped.
inline bool has_gpu_and_kernels() {
#ifdef CDSP_WITH_CUDA_KERNELS
  if (cuda_device_count() > 0) return true;
  WARN("skipped: no GPU here");
#else
  WARN("skipped: built without CUDA kernels");
#endif
  return false;
}

}  // namespace cdsp::test
