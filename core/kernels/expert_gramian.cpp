#include "kernels/expert_gramian.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/partial_sums.h"
#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {
namespace {

/// Numbers of every gradient that meet at once: those of 64 experts still fit an L2 cache.
constexpr int64_t kStretch = 2048;

/// column_norm2 [D] of one expert's gradient [rows, columns].
template <typename T>
void squared_norms(int64_t rows, int64_t columns, bool by_column, const T* gradient, T* norm2) {
  const auto& loops = simd_loops<T>();
  if (by_column) std::fill(norm2, norm2 + columns, T(0));
  const auto [squares] = thread_scratch<T>(columns);
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = gradient + i * columns;
    if (by_column) {
      loops.multiply(columns, row, row, squares);
      loops.add_scaled(columns, T(1), squares, norm2);
    } else {
      norm2[i] = loops.dot(columns, row, row);
    }
  }
}

ExpertGramian expert_gramian_cpu(const at::Tensor& gradient_in, bool by_column) {
  const at::Tensor gradient = gradient_in.contiguous();
  const int64_t experts = gradient.size(0), rows = gradient.size(1), columns = gradient.size(2),
                size = rows * columns, physical = by_column ? columns : rows;
  ExpertGramian result{at::empty({experts, experts}, gradient.options()),
                       at::empty({experts, physical}, gradient.options())};
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "expert_gramian", [&] {
    const scalar_t* g = gradient.data_ptr<scalar_t>();
    scalar_t *dot = result.dot.data_ptr<scalar_t>(),
             *norm2 = result.column_norm2.data_ptr<scalar_t>();
    const int64_t stretches = pieces_of(size, kStretch), square = experts * experts;
    const at::Tensor shares = at::empty({stretches, square}, gradient.options());
    scalar_t* share = shares.data_ptr<scalar_t>();
    for_each_piece(stretches, [&](int64_t s) {
      const int64_t begin = s * kStretch, length = std::min(kStretch, size - begin);
      simd_loops<scalar_t>().gramian(experts, length, g + begin, size, share + s * square);
    });
    sum_shares<scalar_t>(stretches, square, share, dot);
    for_each_piece(experts, [&](int64_t i) {
      squared_norms(rows, columns, by_column, g + i * size, norm2 + i * physical);
    });
  });
  return result;
}

at::Tensor norms_on_selections_cpu(const at::Tensor& column_norm2, const at::Tensor& mask) {
  const int64_t experts = column_norm2.size(0), columns = column_norm2.size(1);
  at::Tensor norms = at::empty({experts, experts}, column_norm2.options());
  AT_DISPATCH_FLOATING_TYPES(column_norm2.scalar_type(), "norms_on_selections", [&] {
    const scalar_t *norm2 = column_norm2.data_ptr<scalar_t>(), *m = mask.data_ptr<scalar_t>();
    scalar_t* to = norms.data_ptr<scalar_t>();
    for_each_piece(experts, [&](int64_t i) {
      for (int64_t j = 0; j < experts; ++j) {
        to[i * experts + j] =
            simd_loops<scalar_t>().dot(columns, norm2 + i * columns, m + j * columns);
      }
    });
  });
  return norms;
}

}  // namespace

ExpertGramian expert_gramian(const at::Tensor& gradient, int64_t physical_dimension,
                             Engine engine) {
  if (engine == Engine::kFused && gradient.device().is_cpu())
    return expert_gramian_cpu(gradient, physical_dimension == 2);
  const at::Tensor flat = gradient.reshape({gradient.size(0), -1});
  return {at::mm(flat, flat.t()), gradient.square().sum(physical_dimension == 1 ? 2 : 1)};
}

at::Tensor norms_on_selections(const at::Tensor& column_norm2, const at::Tensor& mask,
                               Engine engine) {
  if (engine == Engine::kFused && column_norm2.device().is_cpu())
    return norms_on_selections_cpu(column_norm2.contiguous(), mask.contiguous());
  return at::mm(column_norm2, mask.t());
}

}  // namespace cdsp
