// Tests that need a GPU say so where there is none, and are over.
#pragma once

#include "kernels/cuda_stream.h"
#include "model/network.h"
#include "support/catch.h"
#include "support/pretend_gpu.h"
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

/// The same for products of fewer bits, which older GPUs have not.
inline bool has_gpu_with_fewer_bits() {
  if (!has_gpu_and_kernels()) return false;
#ifdef CDSP_WITH_CUDA_KERNELS
  if (is_pretend_gpu()) {
    WARN("skipped: a pretend GPU multiplies with all bits");
    return false;
  }
  if (cuda_compute_capability(0) >= kFewerBitsCapability) return true;
  WARN("skipped: this GPU has no TF32 and bfloat16");
#endif
  return false;
}

}  // namespace cdsp::test
