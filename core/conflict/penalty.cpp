#include "conflict/penalty.h"

#include <ATen/ATen.h>

namespace cdsp {

at::Tensor penalty_of(const at::Tensor& alpha, ConflictPenalty penalty) {
  switch (penalty) {
    case ConflictPenalty::kLogit:
      return alpha;
    case ConflictPenalty::kGatedLogit:
      return at::where(alpha.detach().ge(kPenaltyGate), alpha, at::zeros_like(alpha));
    case ConflictPenalty::kSigmoid:
      break;
  }
  return at::sigmoid(alpha);
}

at::Tensor conflict_loss(const at::Tensor& alpha, const at::Tensor& conflict,
                         ConflictPenalty penalty) {
  return (penalty_of(alpha, penalty) * conflict).sum();
}

at::Tensor topology_regulariser(const at::Tensor& alpha, const ConflictConfig& config) {
  at::Tensor total = alpha.abs().mean() * config.l1;
  if (config.determinism != 0.0) {
    const at::Tensor link = at::sigmoid(alpha);
    total = total + (link * (1.0 - link)).mean() * config.determinism;
  }
  return total;
}

}  // namespace cdsp
