#include "train/balance_loss.h"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "kernels/simd_loops.h"

namespace cdsp {
namespace {

at::Tensor switch_loss(const Routing& routing) {
  const at::Tensor counts = selection_counts(routing);
  const at::Tensor share = counts / static_cast<double>(routing.indices.numel());
  return (share * routing.probabilities.mean(0)).sum() * static_cast<double>(counts.size(0));
}

at::Tensor squared_variation_coefficient(const Routing& routing) {
  const at::Tensor counts = selection_counts(routing);
  if (counts.size(0) == 1)
    return at::zeros({}, counts.options());  // N - 1 = 0: one expert is balanced
  return (counts.std(/*unbiased=*/true) / (counts.mean() + 1e-6)).square();
}

/// Sums over the tokens of probabilities [tokens, N].
template <typename T>
std::vector<T> sums_of_columns(const at::Tensor& table) {
  const int64_t columns = table.size(1);
  const T* row = table.data_ptr<T>();
  std::vector<T> sums(static_cast<size_t>(columns), T(0));
  // Stretches of rows, so that small numbers are not added to a large sum one by one.
  constexpr int64_t kRows = 64;
  std::vector<T> stretch(sums.size());
  for (int64_t begin = 0; begin < table.size(0); begin += kRows) {
    std::fill(stretch.begin(), stretch.end(), T(0));
    const int64_t end = std::min(table.size(0), begin + kRows);
    for (int64_t i = begin; i < end; ++i, row += columns)
      simd_loops<T>().add_scaled(columns, T(1), row, stretch.data());
    simd_loops<T>().add_scaled(columns, T(1), stretch.data(), sums.data());
  }
  return sums;
}

BalanceAndSlope switch_loss_cpu(const Routing& routing) {
  const at::Tensor counts = selection_counts(routing).contiguous(),
                   probabilities = routing.probabilities.contiguous();
  BalanceAndSlope result{0.0, at::empty_like(counts)};
  AT_DISPATCH_FLOATING_TYPES(counts.scalar_type(), "switch_loss", [&] {
    const std::vector<scalar_t> sums = sums_of_columns<scalar_t>(probabilities);
    const scalar_t* count = counts.data_ptr<scalar_t>();
    scalar_t* slope = result.slope.data_ptr<scalar_t>();
    const auto tokens = static_cast<scalar_t>(probabilities.size(0)),
               selections = static_cast<scalar_t>(routing.indices.numel()),
               experts = static_cast<scalar_t>(counts.size(0));
    for (size_t i = 0; i < sums.size(); ++i) {
      const scalar_t share = count[i] / selections;
      result.loss += static_cast<double>(experts * share * (sums[i] / tokens));
      slope[i] = experts * share / tokens;
    }
  });
  return result;
}

}  // namespace

at::Tensor balance_loss(const Routing& routing, BalanceKind kind) {
  return kind == BalanceKind::kSwitch ? switch_loss(routing)
                                      : squared_variation_coefficient(routing);
}

BalanceAndSlope balance_loss_cpu(const Routing& routing, BalanceKind kind) {
  switch (kind) {
    case BalanceKind::kSwitch:
      return switch_loss_cpu(routing);
    case BalanceKind::kCv2:
      break;
  }
  return {squared_variation_coefficient(routing).item<double>(), {}};
}

}  // namespace cdsp
