// Which implementation computes an operation.
//
//   kReference  plain LibTorch operations with autograd: any dtype, any device; the meaning of
//   everything kFused      hand-tiled CPU code behind the same functions; falls to kReference
//   elsewhere
#pragma once

namespace cdsp {

enum class Engine { kReference, kFused };

}  // namespace cdsp
