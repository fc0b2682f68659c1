// The device, its work, and the kernels it is asked for.
#include "device.h"

#include <cstring>
#include <utility>

namespace pretend_gpu {

Stream& stream_of(cudaStream_t handle) {
  const bool is_default =
      handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
  return is_default ? Device::get().default_stream : *reinterpret_cast<Stream*>(handle);
}

cudaError_t fail(cudaError_t error) { return last_error = error; }

cudaError_t spoil(Stream& stream, cudaError_t error) {
  if (stream.capture) stream.capture->is_spoilt = true;
  return fail(error);
}

bool is_forbidden_now() {
  Device& device = Device::get();
  if (device.capturing == 0 || mode_of_thread == cudaStreamCaptureModeRelaxed) return false;
  for (Stream* stream : device.streams) spoil(*stream, cudaErrorStreamCaptureUnsupported);
  return true;
}

static void do_next(Stream& stream) {
  const Node node = std::move(stream.pending.front());
  stream.pending.pop_front();
  const Open open;
  node.work();
}

void finish(Stream& stream) {
  while (!stream.pending.empty()) do_next(stream);
}

void finish_all() {
  finish(Device::get().default_stream);
  for (Stream* stream : Device::get().streams) finish(*stream);
}

void reach(const Mark& mark) {
  while (!mark.is_reached) do_next(*mark.stream);
}

cudaError_t enqueue_on(Stream& stream, Node node) {
  Device& device = Device::get();
  if (stream.capture) {
    if (stream.capture->is_spoilt) return fail(cudaErrorStreamCaptureInvalidated);
    stream.capture->add(&stream, {std::move(node)});
    return cudaSuccess;
  }
  if (&stream == &device.default_stream) {
    for (const Stream* other : device.streams)
      if (other->capture && other->waits_for_default) return fail(cudaErrorStreamCaptureImplicit);
  }
  stream.pending.push_back(std::move(node));
  return cudaSuccess;
}

void end_program(const std::string& why) {
  std::fprintf(stderr, "pretend GPU: %s\n", why.c_str());
  std::abort();
}

void enqueue(void* stream, const std::string& name, Work work) {
  const Lock lock(Device::get().mutex);
  // An error shows at the next look for one, as a launch's does.
  enqueue_on(stream_of(static_cast<cudaStream_t>(stream)), {name, std::move(work)});
}

void wait_for(void* stream) { cudaStreamSynchronize(static_cast<cudaStream_t>(stream)); }

bool is_device_memory(const void* address) { return Device::get().owns(address); }

}  // namespace pretend_gpu

using namespace pretend_gpu;

[[noreturn]] static void refuse_kernel(const void* kernel) {
  const auto found = Device::get().kernels.find(kernel);
  end_program("nothing stands in for the kernel " +
              (found == Device::get().kernels.end() ? std::string("?") : found->second));
}

extern "C" {

int pretend_gpu_launch(void* stream, const char* name, const void* program, size_t size,
                       void (*emulate)(const void*)) {
  std::vector<char> frozen(size);
  std::memcpy(frozen.data(), program, size);
  for (size_t at = 0; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, frozen.data() + at, sizeof word);
    if (word >= kLowestOfHost && word < kHighestOfHost)
      end_program(std::string(name) + " is given an address of the host");
  }
  enqueue(stream, name, [frozen, emulate] { emulate(frozen.data()); });
  return cudaGetLastError();
}

size_t pretend_gpu_nodes_of_last_graph() { return Device::get().nodes_of_last_graph; }

// ---- the device: one, of compute capability 9.0

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "pretend GPU");
  properties->major = 9;
  properties->totalGlobalMem = kMemory;
  properties->sharedMemPerBlock = 48 << 10;
  properties->warpSize = 32;
  properties->multiProcessorCount = 132;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxGridSize[0] = 2147483647;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  const Lock lock(Device::get().mutex);
  if (Device::get().capturing > 0) {
    for (Stream* stream : Device::get().streams) spoil(*stream, cudaErrorStreamCaptureUnsupported);
    return cudaErrorStreamCaptureUnsupported;
  }
  finish_all();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t error) {
  thread_local std::string text;
  text = "pretend CUDA error " + std::to_string(static_cast<int>(error));
  return text.c_str();
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

// ---- kernels: known by name, to say which one nobody stands in for

// Called by code that nvcc writes, which declares them for itself.
#pragma GCC diagnostic ignored "-Wmissing-declarations"
void** __cudaRegisterFatBinary(void*) {
  static void* handle[1];
  return handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* kernel, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  const Lock lock(Device::get().mutex);
  Device::get().kernels[kernel] = name;
}
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, CUstream_st*) { return 0; }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { return cudaSuccess; }
cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* kernel) {
  *handle = reinterpret_cast<cudaKernel_t>(const_cast<void*>(kernel));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void**, size_t, cudaStream_t) {
  refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, size_t, cudaStream_t) {
  refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void* kernel, void**) {
  refuse_kernel(kernel);
}

}  // extern "C"
