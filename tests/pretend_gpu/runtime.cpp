// The functions of the CUDA runtime (13.x) that LibTorch and the program call, by their names.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include "pretend_gpu.h"

namespace pretend_gpu {
namespace {

constexpr size_t kMemory = size_t{16} << 30;
constexpr size_t kPage = size_t{2} << 20;  // what cudaMalloc hands out is a multiple of
/// Where no memory of the host is ever mapped, so that an address tells whose it is.
constexpr uintptr_t kFirstAddress = uintptr_t{1} << 45;
constexpr uint64_t kLowestOfHost = 0x500000000000, kHighestOfHost = 0x800000000000;

struct Node {
  std::string name;
  Work work;
};

using Graph = std::vector<Node>;

struct Stream {
  bool waits_for_default = true;
  std::unique_ptr<Graph> captured;  // while it is captured
  bool is_spoilt = false;           // by a call that a capture forbids
  unsigned long long capture = 0;   // number of its capture
};

struct Event {
  double milliseconds = 0;
  bool is_of_capture = false;
};

/// All of the device. Initialised when first used: libraries register their kernels as they load.
class Device {
 public:
  static Device& get() {
    static auto* const device = new Device;  // outlives everybody's destructors
    return *device;
  }

  char* begin() const { return reinterpret_cast<char*>(kFirstAddress); }
  bool owns(const void* address) const { return address >= begin() && address < begin() + kMemory; }

  std::recursive_mutex mutex;
  size_t used = 0;
  std::map<char*, size_t> allocated;
  std::multimap<size_t, char*> free;
  std::set<Stream*> streams;
  Stream default_stream;
  std::unordered_map<const void*, std::string> kernels;
  unsigned long long captures = 0;
  int capturing = 0;
  size_t nodes_of_last_graph = 0;
  cudaError_t last_error = cudaSuccess;
  const bool protects = std::getenv("PRETEND_GPU_PROTECT") != nullptr;
  int open = 0;

 private:
  Device() {
    void* const place =
        mmap(begin(), kMemory, protects ? PROT_NONE : PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == begin()) return;
    std::perror("pretend GPU: no memory");
    std::abort();
  }
};

/// Device memory can be touched as long as one of these lives.
class Open {
 public:
  Open() {
    Device& device = Device::get();
    if (device.protects && device.open++ == 0)
      mprotect(device.begin(), device.used, PROT_READ | PROT_WRITE);
  }
  ~Open() {
    Device& device = Device::get();
    if (device.protects && --device.open == 0) mprotect(device.begin(), device.used, PROT_NONE);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
};

using Lock = std::lock_guard<std::recursive_mutex>;

thread_local cudaStreamCaptureMode mode_of_thread = cudaStreamCaptureModeGlobal;

Stream& stream_of(cudaStream_t handle) {
  const bool is_default =
      handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
  return is_default ? Device::get().default_stream : *reinterpret_cast<Stream*>(handle);
}

cudaError_t fail(cudaError_t error) { return Device::get().last_error = error; }

[[noreturn]] void end_program(const std::string& why) {
  std::fprintf(stderr, "pretend GPU: %s\n", why.c_str());
  std::abort();
}

/// For the calls that no thread may make while anything is captured, unless it asked for leave.
bool is_forbidden_now() {
  Device& device = Device::get();
  if (device.capturing == 0 || mode_of_thread == cudaStreamCaptureModeRelaxed) return false;
  for (Stream* stream : device.streams) stream->is_spoilt = stream->captured != nullptr;
  fail(cudaErrorStreamCaptureUnsupported);
  return true;
}

/// Waiting for a stream, or asking whether it is done.
cudaError_t wait_for(Stream& stream) {
  if (stream.captured) {
    stream.is_spoilt = true;
    return fail(cudaErrorStreamCaptureUnsupported);
  }
  return is_forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t enqueue_on(Stream& stream, Node node) {
  Device& device = Device::get();
  if (stream.captured) {
    if (stream.is_spoilt) return fail(cudaErrorStreamCaptureInvalidated);
    stream.captured->push_back(std::move(node));
    return cudaSuccess;
  }
  if (&stream == &device.default_stream) {
    for (const Stream* other : device.streams)
      if (other->captured && other->waits_for_default) return fail(cudaErrorStreamCaptureImplicit);
  }
  const Open open;
  node.work();
  return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind, Stream& stream) {
  const bool to_device = is_device_memory(to), from_device = is_device_memory(from);
  const bool is_told_wrong = (kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
                             (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
                             (kind == cudaMemcpyDeviceToDevice && (!to_device || !from_device));
  if (is_told_wrong) end_program("a copy between other memories than it says");
  return enqueue_on(stream, {"copy", [=] { std::memcpy(to, from, size); }});
}

cudaError_t refuse_kernel(const void* kernel) {
  const auto found = Device::get().kernels.find(kernel);
  end_program("nothing stands in for the kernel " +
              (found == Device::get().kernels.end() ? std::string("?") : found->second));
}

double milliseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

}  // namespace

void enqueue(void* stream, const std::string& name, Work work) {
  const Lock lock(Device::get().mutex);
  // An error shows at the next look for one, as a launch's does.
  enqueue_on(stream_of(static_cast<cudaStream_t>(stream)), {name, std::move(work)});
}

bool is_device_memory(const void* address) { return Device::get().owns(address); }

}  // namespace pretend_gpu

using namespace pretend_gpu;

extern "C" {

void pretend_gpu_launch(void* stream, const char* name, const void* program, size_t size,
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
}

size_t pretend_gpu_nodes_of_last_graph() { return Device::get().nodes_of_last_graph; }

// ---- the device: one, of compute capability 9.0
// ----------------------------------------------------

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
  return is_forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaGetLastError() {
  const Lock lock(Device::get().mutex);
  return std::exchange(Device::get().last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() { return Device::get().last_error; }
const char* cudaGetErrorString(cudaError_t error) {
  thread_local std::string text;
  text = "pretend CUDA error " + std::to_string(static_cast<int>(error));
  return text.c_str();
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

// ---- memory
// ----------------------------------------------------------------------------------------

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = kMemory;
  *free = kMemory - Device::get().used;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** address, size_t size) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const size_t whole = (size + kPage - 1) / kPage * kPage;
  const auto found = device.free.find(whole);
  char* place = nullptr;
  if (found != device.free.end()) {
    place = found->second;
    device.free.erase(found);
  } else {
    if (device.used + whole > kMemory) return fail(cudaErrorMemoryAllocation);
    place = device.begin() + device.used;
    device.used += whole;
  }
  device.allocated[place] = whole;
  const Open open;
  std::memset(place, 0xFF, whole);  // NaN: nothing is promised there
  *address = place;
  return cudaSuccess;
}
cudaError_t cudaFree(void* address) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  if (address == nullptr) return cudaSuccess;
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const auto found = device.allocated.find(static_cast<char*>(address));
  if (found == device.allocated.end()) return fail(cudaErrorInvalidValue);
  device.free.emplace(found->second, found->first);
  device.allocated.erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t size, unsigned) {
  const Lock lock(Device::get().mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  *address = std::malloc(size);
  return *address != nullptr ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* address) {
  std::free(address);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  std::memset(attributes, 0, sizeof *attributes);
  if (!is_device_memory(address)) return cudaSuccess;
  attributes->type = cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(address);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  return copy(to, from, size, kind, stream_of(stream));
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  const Lock lock(Device::get().mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  return copy(to, from, size, kind, Device::get().default_stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (!is_device_memory(to)) end_program("cudaMemsetAsync is given an address of the host");
  return enqueue_on(stream_of(stream), {"set", [=] { std::memset(to, value, size); }});
}

// ---- streams and events
// ----------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int) {
  const Lock lock(Device::get().mutex);
  auto* const stream = new Stream;
  stream->waits_for_default = (flags & cudaStreamNonBlocking) == 0;
  Device::get().streams.insert(stream);
  *handle = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Device::get().streams.erase(&stream_of(handle));
  delete reinterpret_cast<Stream*>(handle);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  return wait_for(stream_of(stream));
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  return wait_for(stream_of(stream));
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned) {
  *handle = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* handle) { return cudaEventCreateWithFlags(handle, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  delete reinterpret_cast<Event*>(handle);
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream, unsigned) {
  const Lock lock(Device::get().mutex);
  auto& event = *reinterpret_cast<Event*>(handle);
  event.is_of_capture = stream_of(stream).captured != nullptr;
  event.milliseconds = milliseconds_now();
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Lock lock(Device::get().mutex);
  if (reinterpret_cast<const Event*>(handle)->is_of_capture) return fail(cudaErrorCapturedEvent);
  return is_forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) { return cudaEventQuery(handle); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = static_cast<float>(reinterpret_cast<const Event*>(to)->milliseconds -
                                     reinterpret_cast<const Event*>(from)->milliseconds);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(Device::get().mutex);
  const bool is_captured = stream_of(stream).captured != nullptr;
  // Work is done when it is enqueued, so there is nothing to wait for.
  return is_captured == reinterpret_cast<const Event*>(event)->is_of_capture
             ? cudaSuccess
             : fail(cudaErrorStreamCaptureIsolation);
}

// ---- captures and graphs
// ---------------------------------------------------------------------------

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, mode_of_thread);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  Stream& stream = stream_of(handle);
  if (&stream == &device.default_stream) return fail(cudaErrorStreamCaptureUnsupported);
  if (stream.captured) return fail(cudaErrorIllegalState);
  stream.captured = std::make_unique<Graph>();
  stream.is_spoilt = false;
  stream.capture = ++device.captures;
  ++device.capturing;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Device& device = Device::get();
  const Lock lock(device.mutex);
  Stream& stream = stream_of(handle);
  *graph = nullptr;
  if (!stream.captured) return fail(cudaErrorIllegalState);
  const std::unique_ptr<Graph> captured = std::move(stream.captured);
  --device.capturing;
  if (std::exchange(stream.is_spoilt, false)) return fail(cudaErrorStreamCaptureInvalidated);
  device.nodes_of_last_graph = captured->size();
  *graph = reinterpret_cast<cudaGraph_t>(new Graph(*captured));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(Device::get().mutex);
  const Stream& stream = stream_of(handle);
  *status = !stream.captured   ? cudaStreamCaptureStatusNone
            : stream.is_spoilt ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  const Lock lock(Device::get().mutex);
  if (id != nullptr) *id = stream_of(handle).capture;
  if (graph != nullptr) *graph = reinterpret_cast<cudaGraph_t>(stream_of(handle).captured.get());
  if (dependencies != nullptr) *dependencies = nullptr;
  if (edges != nullptr) *edges = nullptr;
  if (count != nullptr) *count = 0;
  return cudaStreamIsCapturing(handle, status);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<const Graph*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(ready, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (stream_of(stream).captured) return fail(cudaErrorStreamCaptureUnsupported);
  const Open open;
  for (const Node& node : *reinterpret_cast<const Graph*>(ready)) node.work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete reinterpret_cast<Graph*>(ready);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = reinterpret_cast<const Graph*>(graph)->size();
  return cudaSuccess;
}

// ---- kernels: known by name, to say which one nobody stands in for
// --------------------------------

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
  return refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, size_t, cudaStream_t) {
  return refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void* kernel, void**) {
  return refuse_kernel(kernel);
}

}  // extern "C"
