// A matrix turned over in memory, by the engine's own loop: LibTorch's copy of a transposed view is
// made for tensors of any layout, a network's weights are small and always lie in rows.
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// matrices [..., rows, columns], contiguous, in main memory -> [..., columns, rows], contiguous.
at::Tensor transposed_copy(const at::Tensor& matrices);

}  // namespace cdsp
