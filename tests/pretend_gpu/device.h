// The pretend GPU's state, and what the functions of its runtime share. Callers hold Device::mutex.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include "pretend_gpu.h"

namespace pretend_gpu {

inline constexpr size_t kMemory = size_t{16} << 30;
inline constexpr size_t kPage = size_t{2} << 20;  // what cudaMalloc hands out is a multiple of
/// Where no memory of the host is ever mapped, so that an address tells whose it is (x86-64; two
/// neighbouring int of which the upper is 20,480 to 32,767 look like an address of the host, too).
inline constexpr uintptr_t kFirstAddress = uintptr_t{1} << 45;
inline constexpr uint64_t kLowestOfHost = 0x500000000000, kHighestOfHost = 0x800000000000;

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

inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local cudaStreamCaptureMode mode_of_thread = cudaStreamCaptureModeGlobal;

Stream& stream_of(cudaStream_t handle);
cudaError_t fail(cudaError_t error);
/// The capture of this stream, if there is one, can only fail from here on.
cudaError_t spoil(Stream& stream, cudaError_t error);
/// For the calls that no thread may make while anything is captured, unless it asked for leave.
bool is_forbidden_now();

void finish(Stream& stream);
void finish_all();
void reach(const Mark& mark);
cudaError_t enqueue_on(Stream& stream, Node node);

}  // namespace pretend_gpu
