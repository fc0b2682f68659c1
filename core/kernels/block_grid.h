// CUDA kernels as block programs: one source for the GPU and for an emulation of its grid on the
// host.
//
// A program is a struct of pointers and sizes, with
//
//   kThreads                    threads of a block
//   Shared                      what the threads of a block share, at most 48 KB
//   Registers                   what a thread keeps from one phase to the next
//   blocks()                    size of the grid
//   phases(block)               number of phases, the same for all threads of a block
//   run(phase, block, thread, shared, registers)
//
// On a GPU a barrier stands between two phases, so inside a phase no thread may read what another
// one writes. The emulation runs the threads one after the other, in the order it is told: a
// program whose answer depends on that order is wrong. It starts every block with shared memory and
// registers full of NaN, as nothing is promised there. Programs use no atomics: sums are made in a
// fixed order, and a program gives the same bytes every time.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "base/host_device.h"
#include "kernels/cuda_stream.h"

namespace cdsp {

/// For programs that need none.
struct Nothing {};

enum class EmulationOrder { kAscending, kDescending };

/// In which order emulate_grid takes blocks and threads; for tests, per host thread.
EmulationOrder& emulation_order();

/// Is told of every program that run_grid runs, as a graph would freeze it; for tests.
class GridObserver {
 public:
  virtual ~GridObserver() = default;
  /// `bytes` are the program's own; between its members they are zeros where
  /// kObserverSeesBytes, else anything.
  virtual void on_grid(const std::type_info& program, int64_t blocks, const void* bytes,
                       size_t size) = 0;
};

/// The observer of this host thread, or none.
GridObserver*& grid_observer();

#if defined(__GNUC__) && !defined(__clang__) && !defined(__NVCC__)
#define CDSP_CLEAR_PADDING(object) __builtin_clear_padding(object)
inline constexpr bool kObserverSeesBytes = true;
#else
#define CDSP_CLEAR_PADDING(object) static_cast<void>(object)
inline constexpr bool kObserverSeesBytes = false;
#endif

template <typename Program>
void tell_observer(const Program& program) {
  Program copy = program;
  CDSP_CLEAR_PADDING(&copy);
  grid_observer()->on_grid(typeid(Program), program.blocks(), &copy, sizeof copy);
}

template <typename Program>
constexpr void check_limits() {
  static_assert(Program::kThreads >= 32 && Program::kThreads <= 1024, "threads of a block");
  static_assert(sizeof(typename Program::Shared) <= 48 * 1024, "static shared memory of a block");
  static_assert(std::is_trivially_copyable_v<Program>, "a kernel's argument");
  static_assert(std::is_trivially_copyable_v<typename Program::Shared> &&
                    std::is_trivially_copyable_v<typename Program::Registers>,
                "no constructor runs for them on the GPU");
}

template <typename Program>
void emulate_grid(const Program& program) {
  check_limits<Program>();
  constexpr int kNaNByte = 0xFF;  // all ones is a NaN in every floating type, and -1 in integers
  const bool ascending = emulation_order() == EmulationOrder::kAscending;
  const int64_t blocks = program.blocks();
  const auto shared = std::make_unique<typename Program::Shared>();
  std::vector<typename Program::Registers> registers(Program::kThreads);
  for (int64_t turn = 0; turn < blocks; ++turn) {
    const int64_t block = ascending ? turn : blocks - 1 - turn;
    std::memset(shared.get(), kNaNByte, sizeof *shared);
    std::memset(registers.data(), kNaNByte, registers.size() * sizeof registers[0]);
    const int phases = program.phases(block);
    for (int phase = 0; phase < phases; ++phase) {
      for (int i = 0; i < Program::kThreads; ++i) {
        const int thread = ascending ? i : Program::kThreads - 1 - i;
        program.run(phase, block, thread, *shared, registers[static_cast<size_t>(thread)]);
      }
    }
  }
}

/// Does the work of a GPU where there is none; for tests, of the whole process.
class GridStandIn {
 public:
  virtual ~GridStandIn() = default;
  /// To be enqueued on LibTorch's current stream: emulate(program), with these bytes of it.
  virtual void launch(const std::type_info& type, const void* program, size_t size,
                      void (*emulate)(const void* program)) = 0;
};

/// None, unless a test has set one, which it must before any other thread runs.
GridStandIn*& grid_stand_in();

/// On LibTorch's current stream of the current device; defined in the operation's *_cuda.cu
/// (block_launch.cuh), in builds with CDSP_CUDA only.
template <typename Program>
void launch_grid(const Program& program);

template <typename Program>
void launch_on_stand_in(const Program& program) {
  check_limits<Program>();
  if (program.blocks() == 0) return;
  Program copy = program;
  CDSP_CLEAR_PADDING(&copy);
  grid_stand_in()->launch(typeid(Program), &copy, sizeof copy, [](const void* frozen) {
    emulate_grid(*static_cast<const Program*>(frozen));
  });
}
#undef CDSP_CLEAR_PADDING

/// Runs the program where its tensors are: `device` is their get_device(), the number of a GPU or
/// -1 for the host.
template <typename Program>
void run_grid(const Program& program, int64_t device) {
  if (grid_observer() != nullptr) tell_observer(program);
  if (device < 0) return emulate_grid(program);
#ifdef CDSP_WITH_CUDA_KERNELS
  const OnCudaDevice guard(device);
  if (grid_stand_in() != nullptr) return launch_on_stand_in(program);
  launch_grid(program);
#else
  throw std::logic_error("this program was built without its own CUDA kernels");
#endif
}

}  // namespace cdsp
