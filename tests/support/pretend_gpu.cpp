#include "support/pretend_gpu.h"

#include <typeinfo>

#include <dlfcn.h>

#include "kernels/block_grid.h"
#include "kernels/cuda_stream.h"

namespace cdsp::test {
namespace {

/// A function of tests/pretend_gpu/pretend_gpu.h; null where that was not loaded.
template <typename Function>
Function* loaded(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

using Launch = void(void* stream, const char* name, const void* program, size_t size,
                    void (*emulate)(const void* program));

#ifdef CDSP_WITH_CUDA_KERNELS
class PretendGpu : public GridStandIn {
 public:
  explicit PretendGpu(Launch* enqueue) : enqueue_(enqueue) {}
  void launch(const std::type_info& type, const void* program, size_t size,
              void (*emulate)(const void* program)) override {
    enqueue_(current_cuda_stream(), type.name(), program, size, emulate);
  }

 private:
  Launch* enqueue_;
};
#endif

}  // namespace

void connect_pretend_gpu() {
#ifdef CDSP_WITH_CUDA_KERNELS
  if (!is_pretend_gpu()) return;
  static PretendGpu gpu(loaded<Launch>("pretend_gpu_launch"));
  grid_stand_in() = &gpu;
#endif
}

bool is_pretend_gpu() { return loaded<Launch>("pretend_gpu_launch") != nullptr; }

size_t pretend_gpu_nodes_of_last_graph() {
  return loaded<size_t()>("pretend_gpu_nodes_of_last_graph")();
}

}  // namespace cdsp::test
