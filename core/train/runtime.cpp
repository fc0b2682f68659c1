#include "train/runtime.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include <ATen/ATen.h>
#include <ATen/Config.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "cdsp_version.h"
#include "config/keys.h"

namespace cdsp {
namespace {

constexpr int64_t kThreadsOnAnyMachine = 16, kThreadsOfCore = 4;

/// Bytes by which the heap grows at least.
constexpr int kHeapGrowth = 64 << 20;

/// OMP_NUM_THREADS, or `most` where it is not set, no number, or more.
int64_t threads_of_environment(int64_t most) {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int64_t asked = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return asked > 0 ? std::min(asked, most) : most;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CDSP_OWN_HEAP 0
#elif defined(__has_feature)
#define CDSP_OWN_HEAP !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define CDSP_OWN_HEAP 1
#endif

#if defined(__GLIBC__) && defined(MADV_HUGEPAGE) && CDSP_OWN_HEAP
/// Whether the system would give that much. Asked of mmap, for malloc answers a refusal by leaving
/// the heap for good, and what it turns to takes no large blocks.
bool can_reserve(size_t bytes) {
  void* range = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (range == MAP_FAILED) return false;
  munmap(range, bytes);
  return true;
}

/// A step's tensors take some 100 MB: more pages of 4 KiB than a processor remembers the places of.
/// What is taken and given back here stays the top of the heap, where every larger tensor comes
/// from; until one does, it is an address range without memory.
bool advise_huge_pages() {
  constexpr size_t kReserved = size_t(512) << 20;
  constexpr uintptr_t kHugePage = uintptr_t(2) << 20;
  // Elsewhere huge pages are of other sizes, up to 512 MiB.
  if (sysconf(_SC_PAGESIZE) != 4096 || !can_reserve(kReserved + kHeapGrowth)) return false;
  void* heap = std::malloc(kReserved);
  if (heap == nullptr) return false;
  const auto address = reinterpret_cast<uintptr_t>(heap);
  const uintptr_t begin = (address + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (address + kReserved) / kHugePage * kHugePage;
  const bool is_taken = madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE) == 0;
  std::free(heap);
  return is_taken;
}
#else
[[maybe_unused]] bool advise_huge_pages() { return false; }
#endif

std::string cpu_instructions() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return "x86-64 AVX-512";
  if (__builtin_cpu_supports("avx2")) return "x86-64 AVX2";
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "other";
#endif
}

template <typename Function>
Function find_symbol(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

int64_t cores_of_this_process() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1u, std::thread::hardware_concurrency());
}

int64_t most_threads() {
  return std::min(find_key("train.threads")->integers.maximum,
                  std::max(kThreadsOnAnyMachine, kThreadsOfCore * cores_of_this_process()));
}

void require_possible_threads(int64_t threads) {
  if (threads <= most_threads()) return;
  throw InputError(
      "train.threads: found " + std::to_string(threads) + "; allowed with this process's cores (" +
      std::to_string(cores_of_this_process()) + "): 0 to " + std::to_string(most_threads()) +
      "; --set train.threads=0 takes one a core, which changes results by rounding at most");
}

int64_t cuda_device_count() {
  return at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0;
}

at::Device resolve_device(const std::string& text) {
  const int64_t gpus = text == "cpu" ? 0 : cuda_device_count();
  if (text == "cpu" || (text == "auto" && gpus == 0)) return at::Device(at::kCPU);
  const int64_t index = text.rfind("cuda:", 0) == 0 ? std::stoll(text.substr(5)) : 0;
  if (index >= gpus) {
    throw InputError("train.device: '" + text +
                     "' was asked for, but LibTorch " CDSP_TORCH_VERSION " sees " +
                     (gpus == 0 ? std::string("no CUDA device here")
                                : std::to_string(gpus) + " CUDA device(s)") +
                     "; use cpu or auto" + (gpus == 0 ? "" : ", or a smaller number"));
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

int64_t use_threads(int64_t threads) {
  if (threads == 0) threads = threads_of_environment(cores_of_this_process());
  require_possible_threads(threads);
  at::set_num_threads(static_cast<int>(threads));
  // LibTorch sets MKL's threads, but knows nothing of a dynamically linked OpenBLAS with threads of
  // its own.
  if (const auto set = find_symbol<void (*)(int)>("openblas_set_num_threads"))
    set(static_cast<int>(threads));
  return threads;
}

bool keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, kHeapGrowth);
  if (mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1) return advise_huge_pages();
  // glibc before 2.35 takes no more than this: what is larger has a mapping of its own.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
  return false;
}

void restart_with_fast_blas(char** argv) {
#if defined(__x86_64__)
  const auto core_name = find_symbol<char* (*)()>("openblas_get_corename");
  if (core_name == nullptr || std::getenv("OPENBLAS_CORETYPE") != nullptr) return;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  const std::string chosen = core_name();
  if (chosen != "Prescott" && chosen != "Core2" && chosen != "Generic" && chosen != "Nehalem")
    return;
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  setenv("OPENBLAS_CORETYPE", has_avx512 ? "SkylakeX" : "Haswell", 1);
  execv("/proc/self/exe",
        argv);  // returns only if it failed, and then the slow kernels still are right
#else
  static_cast<void>(argv);
#endif
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

BlasInfo blas_info() {
  if (at::hasMKL()) return {"MKL", false};
  if (const auto config = find_symbol<char* (*)()>("openblas_get_config")) return {config(), false};
  // The alternatives system of Debian puts an implementation behind the one name libblas.so.3.
  Dl_info where{};
  if (void* gemm = dlsym(RTLD_DEFAULT, "sgemm_"); gemm != nullptr && dladdr(gemm, &where) != 0) {
    const std::string library = where.dli_fname == nullptr ? "" : where.dli_fname;
    const bool is_known_fast = library.find("openblas") != std::string::npos ||
                               library.find("blis") != std::string::npos ||
                               library.find("mkl") != std::string::npos ||
                               library.find("torch") != std::string::npos;
    return {library, !is_known_fast};
  }
  return {"inside LibTorch", false};
}

std::vector<std::pair<std::string, std::string>> runtime_facts() {
  return {{"cdsp", CDSP_VERSION},
          {"git_commit", CDSP_GIT_COMMIT},
          {"libtorch", CDSP_TORCH_VERSION},
          {"compiler", CDSP_COMPILER},
          {"build_type", CDSP_BUILD_TYPE},
          {"build_flags", CDSP_CXX_FLAGS},
          {"blas", blas_info().name},
          {"cpu_instructions", cpu_instructions()},
          {"cores", std::to_string(cores_of_this_process())},
          {"threads", std::to_string(at::get_num_threads())},
          {"cuda_in_libtorch", at::globalContext().hasCUDA() || CDSP_TORCH_HAS_CUDA ? "yes" : "no"},
          {"cuda_devices", std::to_string(cuda_device_count())}};
}

}  // namespace cdsp
