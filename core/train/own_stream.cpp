#include "train/own_stream.h"

#ifdef CDSP_WITH_CUDA_KERNELS
#include <exception>

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace cdsp {

#ifdef CDSP_WITH_CUDA_KERNELS

struct OwnStream::Stream {
  c10::cuda::CUDAStream stream;
};

struct OwnStream::Use::Guard {
  c10::cuda::CUDAStreamGuard guard;
};

OwnStream::OwnStream(c10::Device device) {
  if (!device.is_cuda()) return;
  stream_ = std::make_unique<Stream>(
      Stream{c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())});
}

bool OwnStream::is_idle() const {
  try {
    return !stream_ || stream_->stream.query();
  } catch (const std::exception&) {
    return true;
  }
}

void give_back_device_memory() { c10::cuda::CUDACachingAllocator::emptyCache(); }

OwnStream::Use::Use(const OwnStream& stream) {
  if (stream.stream_) guard_.reset(new Guard{c10::cuda::CUDAStreamGuard(stream.stream_->stream)});
}

#else

struct OwnStream::Stream {};
struct OwnStream::Use::Guard {};

OwnStream::OwnStream(c10::Device) {}
bool OwnStream::is_idle() const { return true; }
void give_back_device_memory() {}
OwnStream::Use::Use(const OwnStream&) {}

#endif

OwnStream::~OwnStream() = default;
OwnStream::Use::~Use() = default;

}  // namespace cdsp
