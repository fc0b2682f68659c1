// A matrix turned over in memory, by the engine's own loop: LibTorch's copy of a transposed view
// takes several times as long on matrices as small as a network's weights.
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// matrices [..., rows, columns], contiguous, in main memory -> [..., columns, rows], contiguous.
at::Tensor transposed_copy(const at::Tensor& matrices);

}  // namespace cdsp
