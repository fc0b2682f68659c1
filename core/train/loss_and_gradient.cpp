#include "train/loss_and_gradient.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "model/network_pass.h"
#include "train/objective_cpu.h"
#include "train/objective_cuda.h"

namespace cdsp {
namespace {

/// Per parameter, whether the loss reaches it: a task embedding only where some image has a task.
std::vector<bool> reached_with(const ParameterSet& parameters, const at::Tensor& tasks) {
  std::vector<bool> reached;
  for (const Parameter& parameter : parameters.all())
    reached.push_back(parameter.input == ParameterInput::kImage || tasks.defined());
  return reached;
}

LossAndGradient by_pass(const Config& config, const Network& network, const Batch& batch,
                        const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                        const std::vector<at::Tensor>& epoch_conflict) {
  const at::NoGradGuard no_grad;
  NetworkPass pass(network);
  ForwardResult forward = pass.forward(batch.images, tasks, forward_request(config, games.size()));
  const std::vector<at::Tensor> conflicts = conflicts_of(games, forward, epoch_conflict);
  ObjectiveAndGradient objective =
      objective_and_gradient_cpu(config, forward, batch.labels, conflicts);
  FlatGradient gradient{
      pass.backward(objective.gradient),
      reached_with(network.parameters(), network.sees_tasks() ? tasks : at::Tensor())};
  return {std::move(forward), std::move(objective.terms), std::move(gradient)};
}

LossAndGradient by_block_programs(const Config& config, const Network& network, const Batch& batch,
                                  const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                  const std::vector<at::Tensor>& epoch_conflict) {
  ForwardResult forward =
      network.forward(batch.images, tasks, forward_request(config, games.size()));
  ObjectiveAndGradient objective =
      objective_and_gradient_cuda(config, forward, batch.labels, games, epoch_conflict);
  std::vector<at::Tensor> outputs = {forward.logits}, gradients = {objective.gradient.logits};
  std::vector<DirectGradient> direct;
  for (size_t layer = 0; layer < objective.gradient.alpha.size(); ++layer)
    direct.push_back({forward.sites[layer].alpha, objective.gradient.alpha[layer]});
  for (size_t layer = 0; layer < objective.gradient.probabilities.size(); ++layer) {
    outputs.push_back(forward.routing[layer].probabilities);
    gradients.push_back(objective.gradient.probabilities[layer].expand_as(outputs.back()));
  }
  FlatGradient gradient = differentiate(network.parameters(), outputs, gradients, direct);
  return {std::move(forward), std::move(objective.terms), std::move(gradient)};
}

}  // namespace

LossAndGradient loss_and_gradient(const Config& config, const Network& network, const Batch& batch,
                                  const at::Tensor& tasks, const std::vector<LaggedGame>& games,
                                  const std::vector<at::Tensor>& epoch_conflict) {
  if (NetworkPass::serves(network))
    return by_pass(config, network, batch, tasks, games, epoch_conflict);
  if (uses_block_programs(network.engine(), network.device()))
    return by_block_programs(config, network, batch, tasks, games, epoch_conflict);
  auto [forward, terms] = forward_and_loss(config, network, batch, tasks, games, epoch_conflict);
  FlatGradient gradient = differentiate(network.parameters(), terms.total);
  return {std::move(forward), std::move(terms), std::move(gradient)};
}

}  // namespace cdsp
