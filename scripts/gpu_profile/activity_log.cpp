// Writes down what a program does on an NVIDIA GPU, for scripts/gpu-profile: the CUDA driver loads this library into
// the program (CUDA_INJECTION64_PATH), and CUPTI tells it of every kernel, copy and fill, of a replayed graph too, and
// of the calls with which the host launches, copies or waits.
//
// One line an event to the file that CDSP_GPU_PROFILE names, tab-separated:
//   kernel  start_ns  end_ns  stream  launch  node  blocks  threads  registers  shared_bytes  local_bytes  name
//   copy    start_ns  end_ns  stream  launch  node  bytes  direction
//   fill    start_ns  end_ns  stream  launch  node  bytes
//   call    start_ns  end_ns  name
//
// `launch` numbers the host's call behind it, the same for all of a graph; `node` is the place in the graph's
// definition, 0 outside of graphs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <cupti.h>

namespace {

constexpr size_t kBufferBytes = size_t{8} << 20;

std::mutex mutex;
std::FILE* file = nullptr;

bool is_well(CUptiResult result, const char* what) {
  if (result == CUPTI_SUCCESS) return true;
  const char* text = nullptr;
  cuptiGetResultString(result, &text);
  std::fprintf(stderr, "gpu-profile: %s: %s\n", what, text != nullptr ? text : "unknown error");
  return false;
}

const char* direction_of(uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD: return "host to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH: return "device to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD: return "device to device";
    default: return "other";
  }
}

/// The calls worth a line: those that give the GPU work, and those that can wait for it.
bool is_of_interest(const char* name) {
  for (const char* part : {"Synchronize", "Memcpy", "Memset", "Launch", "Malloc", "cudaFree", "cuMemFree"}) {
    if (std::strstr(name, part) != nullptr) return true;
  }
  return false;
}

using Long = unsigned long long;
#if CUPTI_API_VERSION >= 130000
using Kernel = CUpti_ActivityKernel10;
#else
using Kernel = CUpti_ActivityKernel9;  // CUDA 12
#endif

void write_kernel(const Kernel& kernel) {
  std::fprintf(file, "kernel\t%llu\t%llu\t%u\t%u\t%llu\t%lld\t%lld\t%u\t%d\t%u\t%s\n", Long{kernel.start}, Long{kernel.end},
               kernel.streamId, kernel.correlationId, Long{kernel.graphNodeId},
               static_cast<long long>(kernel.gridX) * kernel.gridY * kernel.gridZ,
               static_cast<long long>(kernel.blockX) * kernel.blockY * kernel.blockZ, unsigned{kernel.registersPerThread},
               kernel.staticSharedMemory + kernel.dynamicSharedMemory, kernel.localMemoryPerThread, kernel.name);
}

void write_call(const CUpti_ActivityAPI& call, CUpti_CallbackDomain domain) {
  const char* name = nullptr;
  if (cuptiGetCallbackName(domain, call.cbid, &name) != CUPTI_SUCCESS || name == nullptr || !is_of_interest(name)) return;
  std::fprintf(file, "call\t%llu\t%llu\t%s\n", Long{call.start}, Long{call.end}, name);
}

void write_record(const CUpti_Activity* record) {
  // CUPTI's records begin with their kind, and have no common base.
  switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return write_kernel(*reinterpret_cast<const Kernel*>(record));
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto& copy = *reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
      std::fprintf(file, "copy\t%llu\t%llu\t%u\t%u\t%llu\t%llu\t%s\n", Long{copy.start}, Long{copy.end}, copy.streamId,
                   copy.correlationId, Long{copy.graphNodeId}, Long{copy.bytes}, direction_of(copy.copyKind));
      return;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto& fill = *reinterpret_cast<const CUpti_ActivityMemset4*>(record);
      std::fprintf(file, "fill\t%llu\t%llu\t%u\t%u\t%llu\t%llu\n", Long{fill.start}, Long{fill.end}, fill.streamId,
                   fill.correlationId, Long{fill.graphNodeId}, Long{fill.bytes});
      return;
    }
    case CUPTI_ACTIVITY_KIND_RUNTIME:
      return write_call(*reinterpret_cast<const CUpti_ActivityAPI*>(record), CUPTI_CB_DOMAIN_RUNTIME_API);
    default: return;
  }
}

void CUPTIAPI take_buffer(uint8_t** buffer, size_t* size, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, kBufferBytes));
  *size = *buffer != nullptr ? kBufferBytes : 0;
  *most_records = 0;  // as many as fit
}

void CUPTIAPI give_buffer(CUcontext context, uint32_t stream, uint8_t* buffer, size_t, size_t valid) {
  {
    const std::lock_guard lock(mutex);
    CUpti_Activity* record = nullptr;
    while (file != nullptr && cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) write_record(record);
    size_t dropped = 0;
    if (is_well(cuptiActivityGetNumDroppedRecords(context, stream, &dropped), "counting what was lost") && dropped > 0) std::fprintf(stderr, "gpu-profile: CUPTI lost %zu events\n", dropped);
  }
  std::free(buffer);
}

void finish() {
  is_well(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "collecting what is left");
  const std::lock_guard lock(mutex);
  if (std::fclose(file) != 0) std::fprintf(stderr, "gpu-profile: the events could not be written\n");
  file = nullptr;  // what still comes is too late
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  const char* path = std::getenv("CDSP_GPU_PROFILE");
  file = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (file == nullptr) {
    std::fprintf(stderr, "gpu-profile: CDSP_GPU_PROFILE must name a file that can be written\n");
    std::exit(1);
  }
  bool is_ready = is_well(cuptiActivityRegisterCallbacks(take_buffer, give_buffer), "registering");
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                        CUPTI_ACTIVITY_KIND_MEMSET, CUPTI_ACTIVITY_KIND_RUNTIME}) {
    is_ready = is_ready && is_well(cuptiActivityEnable(kind), "asking for events");
  }
  if (!is_ready) std::exit(1);
  std::atexit(finish);
  return 1;
}
