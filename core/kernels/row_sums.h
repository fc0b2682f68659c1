// Sums over the rows of a table, for the shares that blocks leave of a gradient: LibTorch's sum
// over the first dimension takes one block for narrow tables, and a fill beside it for long ones.
#pragma once

#include <ATen/core/Tensor.h>

namespace cdsp {

/// table [rows, columns], float32 or float64 -> [columns], on a GPU or emulated. Not
/// differentiated.
at::Tensor sum_of_rows_cuda(const at::Tensor& table);

}  // namespace cdsp
