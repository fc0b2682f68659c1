// The process's share of the machine: device, threads, allocator; and what `cdsp info` and run.json
// tell of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <c10/core/Device.h>

namespace cdsp {

/// "auto" (first CUDA device, else the CPU), "cpu", "cuda", "cuda:i".
/// Throws InputError if CUDA is asked for and this LibTorch or machine has none, or not that many.
at::Device resolve_device(const std::string& text);

/// Number of CUDA devices that LibTorch can use; 0 on a build without CUDA.
int64_t cuda_device_count();

/// Cores that this process may run on, at least 1.
int64_t cores_of_this_process();

/// Four a core of this process, and 16 anywhere, so that most configs can move; never more than
/// train.threads may be. More make no step quicker, and where a limit on processes or memory stands
/// against them, OpenMP and OpenBLAS do not fail: they wait without end.
int64_t most_threads();

/// Throws InputError if more are asked for than most_threads().
void require_possible_threads(int64_t threads);

/// Threads for LibTorch and its BLAS alike; 0 = one a core this process may run on, or as few as
/// OMP_NUM_THREADS says: so processes side by side are given their share. Returns the number.
/// Throws InputError if it is more than most_threads().
int64_t use_threads(int64_t threads);

/// Keeps freed memory in the process. A training step frees and takes tensors of several MB
/// thousands of times; handing each back to the system costs more time in page faults than the
/// arithmetic. The next 512 MiB of the heap are reserved, as addresses without memory, and lie on
/// huge pages where the system has them to give; returns whether they are. Call first, and once.
bool keep_freed_memory();

/// OpenBLAS chooses its kernels by a list of processors, and falls back to code of 2004 (SSE3) on
/// one that is newer than the list: five times slower. Where it did so on a processor with AVX2,
/// sets OPENBLAS_CORETYPE and starts this program anew, since OpenBLAS reads the variable only
/// while it is loaded. Returns if there is nothing to mend. Call before any thread starts and any
/// work is done; an OPENBLAS_CORETYPE of the user's is kept.
void restart_with_fast_blas(char** argv);

/// Bytes of physical memory the process has held at most.
int64_t peak_memory_bytes();

struct BlasInfo {
  std::string name;        // "MKL", "OpenBLAS ...", "reference BLAS", ...
  bool is_slow_reference;  // the unoptimised Fortran reference: correct, and some 20 times slower
};
BlasInfo blas_info();

/// Version and machine facts as (name, value), in the order to print them.
std::vector<std::pair<std::string, std::string>> runtime_facts();

}  // namespace cdsp
