// The functions of the CUDA runtime (13.x) that LibTorch and the program call, by their names.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
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
/// Where no memory of the host is ever mapped, so that an address tells whose it is (x86-64; two
/// neighbouring int of which the upper is 20,480 to 32,767 look like an address of the host, too).
constexpr uintptr_t kFirstAddress = uintptr_t{1} << 45;
constexpr uint64_t kLowestOfHost = 0x500000000000, kHighestOfHost = 0x800000000000;

struct Node {
  std::string name;
  Work work;
};

using Graph = std::vector<Node>;

/// Work is done as late as may be: when somebody waits for it.
struct Stream {
  std::deque<Node> pending;
  bool was_called_busy = false;  // by the last query
  bool waits_for_default = true;
  std::unique_ptr<Graph> captured;  // while it is captured
  bool is_spoilt = false;           // by a call that a capture forbids
  unsigned long long capture = 0;   // number of its capture
};

/// A place in a stream's work.
struct Mark {
  Stream* stream = nullptr;
  bool is_reached = false;
  double milliseconds = 0;
};

struct Event {
  std::shared_ptr<Mark> mark;
  bool was_called_busy = false;
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
  std::set<const void*> pinned;
  std::multimap<size_t, char*> free;
  std::set<Stream*> streams;
  Stream default_stream;
  std::unordered_map<const void*, std::string> kernels;
  unsigned long long captures = 0;
  int capturing = 0;
  size_t nodes_of_last_graph = 0;
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

thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode mode_of_thread = cudaStreamCaptureModeGlobal;

Stream& stream_of(cudaStream_t handle) {
  const bool is_default =
      handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
  return is_default ? Device::get().default_stream : *reinterpret_cast<Stream*>(handle);
}

cudaError_t fail(cudaError_t error) { return last_error = error; }

/// The capture of this stream, if there is one, can only fail from here on.
cudaError_t spoil(Stream& stream, cudaError_t error) {
  stream.is_spoilt = stream.captured != nullptr;
  return fail(error);
}

/// For the calls that no thread may make while anything is captured, unless it asked for leave.
bool is_forbidden_now() {
  Device& device = Device::get();
  if (device.capturing == 0 || mode_of_thread == cudaStreamCaptureModeRelaxed) return false;
  for (Stream* stream : device.streams) spoil(*stream, cudaErrorStreamCaptureUnsupported);
  return true;
}

void do_next(Stream& stream) {
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
  if (stream.captured) {
    if (stream.is_spoilt) return fail(cudaErrorStreamCaptureInvalidated);
    stream.captured->push_back(std::move(node));
    return cudaSuccess;
  }
  if (&stream == &device.default_stream) {
    for (const Stream* other : device.streams)
      if (other->captured && other->waits_for_default) return fail(cudaErrorStreamCaptureImplicit);
  }
  stream.pending.push_back(std::move(node));
  return cudaSuccess;
}

/// Whether what a query asks for is done. The first one is told that it is not.
cudaError_t answer_query(bool is_done, bool& was_called_busy) {
  if (is_done || was_called_busy) {
    was_called_busy = false;
    return cudaSuccess;
  }
  was_called_busy = true;
  return fail(cudaErrorNotReady);
}

void require_allocated(const void* address, size_t size, const char* what) {
  const auto& allocated = Device::get().allocated;
  auto after = allocated.upper_bound(static_cast<char*>(const_cast<void*>(address)));
  if (after != allocated.begin()) {
    const auto& [place, length] = *--after;
    if (static_cast<const char*>(address) + size <= place + length) return;
  }
  end_program(std::string(what) + " of device memory that nobody has");
}

cudaError_t copy(void* to, const void* from, size_t size, cudaMemcpyKind kind, Stream& stream) {
  const bool to_device = is_device_memory(to), from_device = is_device_memory(from);
  const bool is_told_wrong = (kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
                             (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
                             (kind == cudaMemcpyDeviceToDevice && (!to_device || !from_device));
  if (is_told_wrong) end_program("a copy between other memories than it says");
  if (size == 0) return cudaSuccess;
  if (to_device) require_allocated(to, size, "a copy");
  if (from_device) require_allocated(from, size, "a copy");
  const auto& pinned = Device::get().pinned;
  const bool is_at_once =
      !stream.captured && (!to_device || !from_device) && pinned.count(to_device ? from : to) == 0;
  const cudaError_t error = enqueue_on(stream, {"copy", [=] { std::memcpy(to, from, size); }});
  // With memory of the host that is not pinned the call comes back when the copy is made.
  if (is_at_once && error == cudaSuccess) finish(stream);
  return error;
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

// ---- memory

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
  finish_all();  // as cudaFree does
  const Open open;
  std::memset(found->first, 0xFF, found->second);
  device.free.emplace(found->second, found->first);
  device.allocated.erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t size, unsigned) {
  const Lock lock(Device::get().mutex);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  *address = std::malloc(size);
  if (*address == nullptr) return fail(cudaErrorMemoryAllocation);
  Device::get().pinned.insert(*address);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* address) {
  const Lock lock(Device::get().mutex);
  finish_all();
  Device::get().pinned.erase(address);
  std::free(address);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  const Lock lock(Device::get().mutex);
  std::memset(attributes, 0, sizeof *attributes);
  if (Device::get().pinned.count(address) > 0) attributes->type = cudaMemoryTypeHost;
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
  if (size > 0) require_allocated(to, size, "setting");
  return enqueue_on(stream_of(stream), {"set", [=] { std::memset(to, value, size); }});
}

// ---- streams and events

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
  finish(stream_of(handle));
  Device::get().streams.erase(&stream_of(handle));
  delete reinterpret_cast<Stream*>(handle);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  if (stream.captured) return spoil(stream, cudaErrorStreamCaptureUnsupported);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  if (stream.captured) return spoil(stream, cudaErrorStreamCaptureUnsupported);
  if (is_forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const cudaError_t answer = answer_query(stream.pending.empty(), stream.was_called_busy);
  if (answer == cudaSuccess) finish(stream);
  return answer;
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
cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(stream_handle);
  auto& event = *reinterpret_cast<Event*>(handle);
  event.is_of_capture = stream.captured != nullptr;
  if (event.is_of_capture) return cudaSuccess;
  event.mark = std::make_shared<Mark>();
  event.mark->stream = &stream;
  event.was_called_busy = false;
  return enqueue_on(stream, {"event", [mark = event.mark] {
                               mark->is_reached = true;
                               mark->milliseconds = milliseconds_now();
                             }});
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
/// What both ways to ask for an event begin with.
static cudaError_t look_at(Event& event) {
  if (event.is_of_capture) {
    for (Stream* stream : Device::get().streams) spoil(*stream, cudaErrorCapturedEvent);
    return cudaErrorCapturedEvent;
  }
  return is_forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  const Lock lock(Device::get().mutex);
  auto& event = *reinterpret_cast<Event*>(handle);
  if (const cudaError_t error = look_at(event); error != cudaSuccess) return error;
  if (!event.mark) return cudaSuccess;
  const cudaError_t answer = answer_query(event.mark->is_reached, event.was_called_busy);
  if (answer == cudaSuccess) reach(*event.mark);
  return answer;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  const Lock lock(Device::get().mutex);
  auto& event = *reinterpret_cast<Event*>(handle);
  if (const cudaError_t error = look_at(event); error != cudaSuccess) return error;
  if (event.mark) reach(*event.mark);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(Device::get().mutex);
  const auto &begin = reinterpret_cast<const Event*>(from)->mark,
             &end = reinterpret_cast<const Event*>(to)->mark;
  if (!begin || !end) return fail(cudaErrorInvalidResourceHandle);
  if (!begin->is_reached || !end->is_reached) return fail(cudaErrorNotReady);
  *milliseconds = static_cast<float>(end->milliseconds - begin->milliseconds);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  const Lock lock(Device::get().mutex);
  Stream& stream = stream_of(handle);
  const Event& event = *reinterpret_cast<const Event*>(event_handle);
  // A second stream could join a capture by this; nobody here has one do so.
  if ((stream.captured != nullptr) != event.is_of_capture)
    return spoil(stream, cudaErrorStreamCaptureIsolation);
  if (event.is_of_capture || !event.mark) return cudaSuccess;
  return enqueue_on(stream, {"wait", [mark = event.mark] { reach(*mark); }});
}

// ---- captures and graphs

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
  *ready = reinterpret_cast<cudaGraphExec_t>(new std::shared_ptr<const Graph>(
      std::make_shared<const Graph>(*reinterpret_cast<const Graph*>(graph))));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(ready, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  const Lock lock(Device::get().mutex);
  if (stream_of(stream).captured)
    return spoil(stream_of(stream), cudaErrorStreamCaptureUnsupported);
  const auto graph = *reinterpret_cast<const std::shared_ptr<const Graph>*>(ready);
  return enqueue_on(stream_of(stream), {"graph", [graph] {
                                          for (const Node& node : *graph) node.work();
                                        }});
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete reinterpret_cast<std::shared_ptr<const Graph>*>(ready);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = reinterpret_cast<const Graph*>(graph)->size();
  return cudaSuccess;
}

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
  return refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, size_t, cudaStream_t) {
  return refuse_kernel(kernel);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void* kernel, void**) {
  return refuse_kernel(kernel);
}

}  // extern "C"
