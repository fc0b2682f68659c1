#include "kernels/transposed_copy.h"

#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/tile_gemm.h"

namespace cdsp {

at::Tensor transposed_copy(const at::Tensor& matrices) {
  TORCH_CHECK(matrices.is_contiguous() && matrices.device().is_cpu(),
              "transposed_copy: the matrices are not contiguous in main memory");
  const int64_t rows = matrices.size(-2), columns = matrices.size(-1), size = rows * columns;
  std::vector<int64_t> shape = matrices.sizes().vec();
  std::swap(shape[shape.size() - 2], shape[shape.size() - 1]);
  at::Tensor result = at::empty(shape, matrices.options());
  AT_DISPATCH_FLOATING_TYPES(matrices.scalar_type(), "transposed_copy", [&] {
    const scalar_t* from = matrices.data_ptr<scalar_t>();
    scalar_t* to = result.data_ptr<scalar_t>();
    for (int64_t at = 0; at < matrices.numel(); at += size)
      transpose(rows, columns, from + at, columns, to + at, rows);
  });
  return result;
}

}  // namespace cdsp
