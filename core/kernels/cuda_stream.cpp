#include "kernels/cuda_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS

#include <c10/cuda/CUDAStream.h>

namespace cdsp {

void* current_cuda_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace cdsp

#endif
