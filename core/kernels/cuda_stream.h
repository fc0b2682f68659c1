// LibTorch's current CUDA device and stream, for files that do not include LibTorch. Only in builds
// with CDSP_CUDA.
#pragma once

#include <cstdint>

namespace cdsp {

/// Compute capability of a GPU, 10 major + minor: 80 for 8.0.
int cuda_compute_capability(int64_t device);

/// A cudaStream_t of the current device.
void* current_cuda_stream();

/// Makes a GPU the current one for as long as it lives.
class OnCudaDevice {
 public:
  explicit OnCudaDevice(int64_t device);
  ~OnCudaDevice();
  OnCudaDevice(const OnCudaDevice&) = delete;
  OnCudaDevice& operator=(const OnCudaDevice&) = delete;

 private:
  int64_t device_, before_;
};

}  // namespace cdsp
