#include "kernels/cuda_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace cdsp {

void* current_cuda_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

OnCudaDevice::OnCudaDevice(int64_t device) : device_(device), before_(c10::cuda::current_device()) {
  if (device_ != before_) c10::cuda::set_device(static_cast<c10::DeviceIndex>(device_));
}

OnCudaDevice::~OnCudaDevice() {
  if (device_ != before_) c10::cuda::set_device(static_cast<c10::DeviceIndex>(before_));
}

}  // namespace cdsp

#endif
