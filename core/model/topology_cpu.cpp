// select_topology() on the host in one go: its tables are so small that LibTorch's operations would
// spend all their time in being called.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "model/topology.h"

namespace cdsp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
T sigmoid(T value) {
  return T(1) / (T(1) + std::exp(-value));
}

/// Fills mask [D] of one expert and columns [N], how many of them each owner has, from the
/// expert's row of A.
template <typename T>
void select_columns(const T* row, int64_t experts, int64_t d_base, int64_t rank, T* mask,
                    T* columns) {
  const int64_t width = d_base / experts;
  std::fill(mask, mask + d_base, T(0));
  std::fill(columns, columns + experts, T(0));
  // Owners by falling logit, ties to the lowest; what is no number stands first, as at::sort has
  // it, and shows in the gate.
  std::vector<int64_t> owners(static_cast<size_t>(experts));
  std::iota(owners.begin(), owners.end(), 0);
  std::stable_sort(owners.begin(), owners.end(), [&](int64_t a, int64_t b) {
    return row[a] > row[b] || (std::isnan(row[a]) && !std::isnan(row[b]));
  });
  int64_t left = rank;
  for (const int64_t owner : owners) {
    const int64_t taken = std::min(left, width);
    std::fill_n(mask + owner * width, taken, T(1));
    columns[owner] = static_cast<T>(taken);
    left -= taken;
  }
  std::fill_n(mask + experts * width, left, T(1));  // columns of nobody come last
}

/// As an operation of LibTorch's autograd.
class TopologyFunction : public torch::autograd::Function<TopologyFunction> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& alpha, int64_t d_base,
                               int64_t rank) {
    at::AutoDispatchBelowADInplaceOrView no_autograd;
    const SelectedTopology selected = select_topology_and_slope(alpha, d_base, rank);
    context->save_for_backward({selected.slope});
    context->mark_non_differentiable({selected.topology.mask});
    return {selected.topology.gate, selected.topology.mask};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const at::Tensor slope = context->get_saved_variables()[0];
    return {upstream[0].unsqueeze(1) * slope, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

SelectedTopology select_topology_and_slope(const at::Tensor& alpha_in, int64_t d_base,
                                           int64_t rank) {
  const at::Tensor alpha = alpha_in.contiguous();
  const at::TensorOptions options = alpha.options().requires_grad(false);
  const int64_t experts = alpha.size(0);
  at::Tensor mask = at::empty({experts, d_base}, options), gate = at::empty({experts}, options),
             slope = at::empty({experts, experts}, options);
  AT_DISPATCH_FLOATING_TYPES(alpha.scalar_type(), "select_topology", [&] {
    std::vector<scalar_t> columns(static_cast<size_t>(experts));
    for (int64_t i = 0; i < experts; ++i) {
      const scalar_t* row = alpha.data_ptr<scalar_t>() + i * experts;
      scalar_t* d_row = slope.data_ptr<scalar_t>() + i * experts;
      select_columns(row, experts, d_base, rank, mask.data_ptr<scalar_t>() + i * d_base,
                     columns.data());
      scalar_t sum = 0;
      for (int64_t j = 0; j < experts; ++j) {
        const scalar_t strength = sigmoid(row[j]), count = columns[static_cast<size_t>(j)];
        sum += strength * count;
        d_row[j] = count * strength * (scalar_t(1) - strength) / static_cast<scalar_t>(rank);
      }
      gate.data_ptr<scalar_t>()[i] = sum / static_cast<scalar_t>(rank);
    }
  });
  return {{mask, gate}, slope};
}

Topology select_topology_cpu(const at::Tensor& alpha, int64_t d_base, int64_t rank) {
  const variable_list outputs = TopologyFunction::apply(alpha, d_base, rank);
  return {outputs[1], outputs[0]};
}

}  // namespace cdsp
