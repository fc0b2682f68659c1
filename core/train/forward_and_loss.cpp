#include "train/forward_and_loss.h"

#include <utility>

#include <ATen/ATen.h>

namespace cdsp {

ForwardAndLoss forward_and_loss(const Config& config, const Network& network, const Batch& batch,
                                const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                const std::vector<at::Tensor>& epoch_conflict) {
  ForwardRequest request;
  request.conflict_sites = !games.empty();
  request.router_probabilities = games.empty() && config.balance.kind == BalanceKind::kSwitch;
  ForwardResult forward = network.forward(batch.images, tasks, request);

  std::vector<at::Tensor> conflicts;
  for (size_t layer = 0; layer < games.size(); ++layer) {
    conflicts.push_back(games[layer].conflict(forward.sites[layer]));
    epoch_conflict[layer].add_(conflicts.back());
  }
  Objective terms = objective(config, forward, batch.labels, conflicts);
  return {std::move(forward), std::move(terms)};
}

}  // namespace cdsp
