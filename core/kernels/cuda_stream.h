// LibTorch's current CUDA stream, for files that do not include LibTorch.
#pragma once

namespace cdsp {

/// A cudaStream_t of the current device. Only in builds with CDSP_CUDA.
void* current_cuda_stream();

}  // namespace cdsp
