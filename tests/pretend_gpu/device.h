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

/// What a capture comes to: its work in three of the orders that its streams' waits for each other
/// allow. Launches take them in turns.
struct Graph {
  std::vector<Node> late;      // other streams' work when the first one waits for it
  std::vector<Node> early;     // as soon as their own waits allow
  std::vector<Node> as_asked;  // as the host asked for it
  int launches = 0;
};

struct Stream;

/// What one stream has been given while it was captured: work, or a wait for another one's.
struct Captured {
  Node node;                  // without work: a wait
  Stream* awaited = nullptr;  // for this one's first `place` entries
  size_t place = 0;
  size_t number = 0;  // in the order in which the host asked
};

/// A capture, of the stream that it was begun on and those that joined it.
struct Capture {
  Stream* origin = nullptr;
  unsigned long long number = 0;
  bool is_spoilt = false;  // by a call that a capture forbids
  bool has_ended = false;
  std::map<Stream*, std::vector<Captured>> entries;
  size_t count = 0;

  void add(Stream* stream, Captured entry) {
    entry.number = count++;
    entries[stream].push_back(std::move(entry));
  }
};

/// Work is done as late as may be: when somebody waits for it.
struct Stream {
  std::deque<Node> pending;
  bool was_called_busy = false;  // by the last query
  bool waits_for_default = true;
  std::shared_ptr<Capture> capture;  // while it is captured
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
  std::shared_ptr<Capture> capture;  // that it was recorded in: after `place` entries of `stream`
  Stream* stream = nullptr;
  size_t place = 0;
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
