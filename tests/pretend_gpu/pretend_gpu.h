// A GPU that is not there, for machines without one: the host does its work, in the order in which
// a GPU's streams would be given it.
//
//   device.cpp      stands in for the CUDA runtime library, with
//   memory.cpp      memory and copies, and
//   streams.cpp     streams, events, captures, graphs
//   operations.cpp  has LibTorch's operations on a GPU's tensors computed by the host's
//   driver.cpp      the one call of the CUDA driver that LibTorch makes on the way
//
// LibTorch with CUDA and the program on it run as they are, with libpretend_gpu.so loaded before
// the CUDA runtime (LD_PRELOAD); the program's own kernels are emulated (kernels/block_grid.h)
// through tests/support/pretend_gpu.h. What it shows:
//
// - what a capture forbids fails, with CUDA's error: waiting, allocating, asking an event, in any
//   thread;
// - a captured piece of work is kept with the addresses and numbers it had and done again by each
//   launch of its graph, so what the host changes in between does not reach it;
// - work is done as late as it may be, when somebody waits for it: host code or a stream that does
//   not wait sees what was there before; a query's first answer is "not ready";
// - device memory that is handed out is NaN (with LibTorch's filling, see tests/support, also what
//   its allocator hands out again), and so is what was given back; copies stay within it;
// - an address of the host in a kernel's arguments ends the program; with PRETEND_GPU_PROTECT=1 so
//   does the host's reading of device memory (slow).
//
// What it cannot show is all that the hardware does: it has no speed, no two things at once and no
// roundings of its own, and reduced precision multiplies with all bits. Its rules are those that
// LibTorch and the program meet: all captures are of mode "global", a kernel of CUDA that nothing
// stands in for ends the program, as does an operation that answers with something other than
// tensors.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace pretend_gpu {

using Work = std::function<void()>;

/// Has the work done in its turn on a stream (a cudaStream_t; null: the default one), or, while the
/// stream is captured, with each launch of the graph. Work may touch device memory.
void enqueue(void* stream, const std::string& name, Work work);

/// cudaStreamSynchronize; its error is the thread's last one.
void wait_for(void* stream);

[[noreturn]] void end_program(const std::string& why);

bool is_device_memory(const void* address);

}  // namespace pretend_gpu

/// For tests/support/pretend_gpu.cpp, by name: a kernel whose one argument is `program`. Returns
/// cudaGetLastError().
extern "C" int pretend_gpu_launch(void* stream, const char* name, const void* program, size_t size,
                                  void (*emulate)(const void* program));
/// Pieces of work in the graph that was captured last.
extern "C" size_t pretend_gpu_nodes_of_last_graph();
