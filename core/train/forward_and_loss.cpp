#include "train/forward_and_loss.h"

#include <utility>

#include <ATen/ATen.h>

namespace cdsp {

ForwardRequest forward_request(const Config& config, size_t games) {
  ForwardRequest request;
  request.conflict_sites = games > 0;
  request.router_probabilities = games == 0 && config.balance.kind == BalanceKind::kSwitch;
  return request;
}

std::vector<at::Tensor> conflicts_of(const std::vector<LaggedGame>& games,
                                     const ForwardResult& forward,
                                     const std::vector<at::Tensor>& epoch_conflict) {
  std::vector<at::Tensor> conflicts;
  for (size_t layer = 0; layer < games.size(); ++layer) {
    conflicts.push_back(games[layer].conflict(forward.sites[layer]));
    epoch_conflict[layer].add_(conflicts.back());
  }
  return conflicts;
}

ForwardAndLoss forward_and_loss(const Config& config, const Network& network, const Batch& batch,
                                const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                const std::vector<at::Tensor>& epoch_conflict) {
  ForwardResult forward =
      network.forward(batch.images, tasks, forward_request(config, games.size()));
  const std::vector<at::Tensor> conflicts = conflicts_of(games, forward, epoch_conflict);
  Objective terms = objective(config, forward, batch.labels, conflicts);
  return {std::move(forward), std::move(terms)};
}

}  // namespace cdsp
