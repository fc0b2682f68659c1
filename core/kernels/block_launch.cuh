// Runs block programs (block_grid.h) on the GPU. Included by the *_cuda.cu files, each of which
// instantiates launch_grid for its operation's programs.
#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>

#include <cuda_runtime.h>

#include "kernels/block_grid.h"

namespace cdsp {

/// How many blocks are to be under way on a multiprocessor together, as a program may say by
/// kBlocksTogether: it bounds the registers of a thread. 0 leaves them to the compiler.
template <typename Program, typename = void>
inline constexpr int kBlocksTogether = 0;
template <typename Program>
inline constexpr int kBlocksTogether<Program, std::void_t<decltype(Program::kBlocksTogether)>> =
    Program::kBlocksTogether;

template <typename Program>
__global__ void __launch_bounds__(Program::kThreads, kBlocksTogether<Program>)
    run_program(const Program program) {
  __shared__ typename Program::Shared shared;
  typename Program::Registers registers;
  const int64_t block = static_cast<int64_t>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int phases = program.phases(block);
  for (int phase = 0; phase < phases; ++phase) {
    if (phase > 0) __syncthreads();
    program.run(phase, block, thread, shared, registers);
  }
}

template <typename Program>
void launch_grid(const Program& program) {
  check_limits<Program>();
  const int64_t blocks = program.blocks();
  if (blocks == 0) return;
  if (blocks > 2147483647) throw std::length_error("a CUDA grid of more than 2^31 - 1 blocks");
  run_program<Program><<<static_cast<unsigned>(blocks), Program::kThreads, 0,
                         static_cast<cudaStream_t>(current_cuda_stream())>>>(program);
  // Errors of the launch itself; those of the run show at the next read-back, as LibTorch's do.
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA kernel launch: ") + cudaGetErrorString(error));
  }
}

}  // namespace cdsp
