// Which implementation computes an operation.
//
//   kReference: plain LibTorch operations with autograd, any dtype, any device; it defines what is
//   right.
//
//   kFused: hand-tiled CPU code behind the same functions; kReference serves on other devices.
#pragma once

namespace cdsp {

enum class Engine { kReference, kFused };

}  // namespace cdsp
