#include "kernels/cuda_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace cdsp {

int cuda_compute_capability(int64_t device) {
  int major = 0, minor = 0;
  const int gpu = static_cast<int>(device);
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, gpu));
  return 10 * major + minor;
}

void* current_cuda_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

OnCudaDevice::OnCudaDevice(int64_t device) : device_(device), before_(c10::cuda::current_device()) {
  if (device_ != before_) c10::cuda::set_device(static_cast<c10::DeviceIndex>(device_));
}

OnCudaDevice::~OnCudaDevice() {
  if (device_ != before_) c10::cuda::set_device(static_cast<c10::DeviceIndex>(before_));
}

}  // namespace cdsp

#endif
