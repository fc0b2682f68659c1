#include "support/pretend_gpu.h"

#include <typeinfo>

#include <dlfcn.h>

#include "kernels/block_grid.h"
#include "kernels/cuda_stream.h"
#include "train/runtime.h"

namespace cdsp::test {
namespace {

/// A function of tests/pretend_gpu/pretend_gpu.h; null where that was not loaded.
template <typename Function>
Function* loaded(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

using Launch = int(void* stream, const char* name, const void* program, size_t size,
                   void (*emulate)(const void* program));

#ifdef CDSP_WITH_CUDA_KERNELS
class PretendGpu : public GridStandIn {
 public:
  explicit PretendGpu(Launch* enqueue) : enqueue_(enqueue) {}
  void launch(const std::type_info& type, const void* program, size_t size,
              void (*emulate)(const void* program)) override {
    const int error = enqueue_(current_cuda_stream(), type.name(), program, size, emulate);
    if (error != 0) throw std::runtime_error("CUDA kernel launch: error " + std::to_string(error));
  }

 private:
  Launch* enqueue_;
};
#endif

}  // namespace

void connect_pretend_gpu() {
  const bool is_asked_for = std::getenv("CDSP_PRETEND_GPU") != nullptr;
#ifdef CDSP_WITH_CUDA_KERNELS
  if (is_pretend_gpu() && cuda_device_count() > 0) {
    static PretendGpu gpu(loaded<Launch>("pretend_gpu_launch"));
    grid_stand_in() = &gpu;
    fill_fresh_memory(true);
    return;
  }
#endif
  if (!is_asked_for) return;
  std::fprintf(stderr, "CDSP_PRETEND_GPU is set, but no pretend GPU was loaded\n");
  std::abort();
}

void fill_fresh_memory(bool is_wanted) {
#ifdef CDSP_WITH_CUDA_KERNELS
  at::globalContext().setDeterministicAlgorithms(is_wanted, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(is_wanted);
#else
  static_cast<void>(is_wanted);
#endif
}

bool is_pretend_gpu() { return loaded<Launch>("pretend_gpu_launch") != nullptr; }

size_t pretend_gpu_nodes_of_last_graph() {
  return loaded<size_t()>("pretend_gpu_nodes_of_last_graph")();
}

}  // namespace cdsp::test
