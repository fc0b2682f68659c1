#include <limits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/row_sums.h"
#include "kernels/row_sums_blocks.h"

namespace cdsp {
namespace {

/// More rows than one block should walk through.
constexpr int64_t kLongTable = 1024;
constexpr int64_t kRowsOfGroup = 128;

at::Tensor sums_of_groups(const at::Tensor& x, int64_t rows_of_group) {
  const int64_t rows = x.size(0), columns = x.size(1);
  at::Tensor out;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sum_of_rows", [&] {
    using Program = SumRows<scalar_t>;
    int columns_of_block = 1;
    while (columns_of_block < columns && columns_of_block < Program::kMostColumns)
      columns_of_block *= 2;
    Program program{x.data_ptr<scalar_t>(),          nullptr,         rows, columns,
                    static_cast<int>(rows_of_group), columns_of_block};
    out = at::empty({program.groups(), columns}, x.options());
    program.out = out.data_ptr<scalar_t>();
    run_grid(program, x.get_device());
  });
  return out;
}

}  // namespace

at::Tensor sum_of_rows_cuda(const at::Tensor& table) {
  at::Tensor x = table.contiguous();
  TORCH_CHECK(
      x.size(0) <= std::numeric_limits<int>::max() && x.size(1) <= std::numeric_limits<int>::max(),
      "a table of more than 2^31 rows or columns");
  if (x.size(0) == 0) return at::zeros({x.size(1)}, x.options());
  while (x.size(0) > kLongTable) x = sums_of_groups(x, kRowsOfGroup);
  return sums_of_groups(x, x.size(0)).squeeze(0);
}

}  // namespace cdsp
