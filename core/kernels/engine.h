// Which implementation computes an operation.
//
//   kReference: plain LibTorch operations with autograd, any dtype, any device; it defines what is
//   right.
//
//   kFused: hand-tiled CPU code or, on a GPU, CUDA kernels (block_grid.h), behind the same
//   functions.
//
//   kEmulated: the CUDA kernels' source run by the host, block by block. Slow; for checks where no
//   GPU is.
#pragma once

#include <c10/core/Device.h>

namespace cdsp {

enum class Engine { kReference, kFused, kEmulated };

/// As `train.engine` spells it.
inline const char* name_of(Engine engine) {
  switch (engine) {
    case Engine::kFused:
      return "fused";
    case Engine::kEmulated:
      return "emulated";
    case Engine::kReference:
      break;
  }
  return "reference";
}

/// Whether an operation on this device's tensors is computed by block programs.
inline bool uses_block_programs(Engine engine, c10::Device device) {
  return engine == Engine::kEmulated || (engine == Engine::kFused && device.is_cuda());
}

}  // namespace cdsp
