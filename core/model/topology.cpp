#include "model/topology.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

namespace cdsp {
namespace {

/// values [N, N] -> [N, d_base]: column c of row i is values[i, owner of c], `unowned` past the
/// last block.
at::Tensor columns_by_owner(const at::Tensor& values, int64_t d_base, double unowned) {
  const int64_t experts = values.size(0), width = d_base / experts;
  const at::Tensor owned =
      values.unsqueeze(2).expand({experts, experts, width}).reshape({experts, experts * width});
  return at::cat({owned, at::full({experts, d_base - experts * width}, unowned, values.options())},
                 1);
}

}  // namespace

at::Tensor control_force(const at::Tensor& alpha, int64_t d_base) {
  return columns_by_owner(at::sigmoid(alpha.detach()), d_base, 0.0);
}

Topology select_topology(const at::Tensor& alpha, int64_t d_base, int64_t rank, Engine engine) {
  if (engine == Engine::kFused && alpha.device().is_cpu())
    return select_topology_cpu(alpha, d_base, rank);
  if (uses_block_programs(engine, alpha.device())) return select_topology_cuda(alpha, d_base, rank);
  const int64_t experts = alpha.size(0), width = d_base / experts;
  // Ranked by A, of which sigma(A) is an increasing function: sigma in floating point can tie what
  // A tells apart (saturation), and can tell apart what is equal (vectorised body and scalar tail
  // round apart).
  const at::Tensor order =
      columns_by_owner(alpha.detach(), d_base, -std::numeric_limits<double>::infinity());
  // I is constant on a block, so a block cut by the rank is all ties: only a stable sort makes the
  // choice the same everywhere.
  const at::Tensor selected =
      std::get<1>(at::sort(order, /*stable=*/true, 1, /*descending=*/true)).narrow(1, 0, rank);
  Topology topology;
  topology.mask = at::zeros_like(order).scatter(1, selected, 1.0);
  // The mean over S_i, written through the number of columns that each link contributes: the
  // selection is a constant, the link strengths carry the gradient. Columns of nobody have I = 0.
  const at::Tensor columns_per_link =
      topology.mask.narrow(1, 0, experts * width).view({experts, experts, width}).sum(2);
  topology.gate = (at::sigmoid(alpha) * columns_per_link).sum(1) / static_cast<double>(rank);
  return topology;
}

at::Tensor alpha_sparsity(const at::Tensor& alpha) {
  const at::Tensor logits = alpha.detach().to(at::kDouble);
  return at::sigmoid(logits).lt(kPrunedStrength).to(at::kDouble).mean();
}

at::Tensor structural_entropy(const at::Tensor& alpha) {
  // The binary entropy is even in the logit: H_b(sigma(a)) = softplus(-|a|) + |a| sigma(-|a|) nats
  // has no logarithm of zero at saturated links, and no cancellation.
  const at::Tensor logits = alpha.detach().to(at::kDouble).abs();
  const at::Tensor nats = at::softplus(-logits) + logits * at::sigmoid(-logits);
  return nats.sum() / std::log(2.0);
}

TopologyNumbers topology_numbers_cpu(const at::Tensor& alpha_in) {
  const at::Tensor alpha = alpha_in.contiguous();
  TopologyNumbers numbers{0.0, 0.0};
  AT_DISPATCH_FLOATING_TYPES(alpha.scalar_type(), "topology_numbers", [&] {
    const scalar_t* logit = alpha.data_ptr<scalar_t>();
    for (int64_t i = 0; i < alpha.numel(); ++i) {
      const double a = std::abs(static_cast<double>(logit[i]));
      const double far_side = std::exp(-a);  // sigma(-a) = far_side / (1 + far_side)
      const double weak = far_side / (1.0 + far_side);
      const double strength = logit[i] < 0 ? weak : 1.0 - weak;
      if (strength < kPrunedStrength) numbers.sparsity += 1.0;
      numbers.entropy += std::log1p(far_side) + a * weak;
    }
  });
  numbers.sparsity /= static_cast<double>(alpha.numel());
  numbers.entropy /= std::log(2.0);
  return numbers;
}

}  // namespace cdsp
