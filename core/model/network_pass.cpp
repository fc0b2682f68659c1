#include "model/network_pass.h"

#include <utility>

#include <ATen/ATen.h>

namespace cdsp {

bool NetworkPass::serves(const Network& network) {
  return network.engine() == Engine::kFused && network.device().is_cpu();
}

NetworkPass::NetworkPass(const Network& network) : network_(network) {}

ForwardResult NetworkPass::forward(const at::Tensor& images, const at::Tensor& task_one_hot,
                                   const ForwardRequest& request) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const at::Tensor seen_tasks = network_.sees_tasks() ? task_one_hot : at::Tensor();
  ForwardResult result;
  at::Tensor h = embedding_.forward(images, network_.patch_size_, network_.embed_weight_,
                                    network_.embed_bias_);
  blocks_.resize(network_.blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Network::Block& block = network_.blocks_[i];
    BlockPass& pass = blocks_[i];
    pass.moe = block.moe->new_pass();
    h = block.attention->forward(h, pass.attention);
    const RoutedTokens tokens =
        block.router->route(h, block.norm2, seen_tasks, request.router_probabilities, pass.route);
    ConflictSite site;
    h = pass.moe->forward(tokens, request.conflict_sites ? &site : nullptr);
    if (site.gradients) result.sites.push_back(site);
    result.routing.push_back(tokens.routing);
  }
  result.logits = head_.forward(h, network_.norm_, network_.head_weight_, network_.head_bias_);
  return result;
}

at::Tensor NetworkPass::backward(const OutputGradients& upstream) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const auto of_block = [](const std::vector<at::Tensor>& all, size_t i) {
    return all.empty() ? at::Tensor() : all[i];
  };
  const at::Tensor& parameters = network_.parameters().flat();
  at::Tensor gradient = at::empty({parameters.numel()}, parameters.options());
  const at::Tensor of_head =
      network_.head_bias_.defined()
          ? ParameterSet::stretch(gradient,
                                  {network_.norm_, network_.head_weight_, network_.head_bias_})
          : ParameterSet::stretch(gradient, {network_.norm_, network_.head_weight_});
  at::Tensor d_h = head_.backward(upstream.logits, of_head);
  for (size_t i = blocks_.size(); i-- > 0;) {
    const Network::Block& block = network_.blocks_[i];
    const BlockPass& pass = blocks_[i];
    RoutedGradients routed = pass.moe->backward(d_h, of_block(upstream.alpha, i), gradient);
    routed.probabilities = of_block(upstream.probabilities, i);
    d_h = block.router->backward(pass.route, routed, block.norm2, gradient);
    d_h = block.attention->backward(pass.attention, d_h, gradient);
    blocks_.pop_back();  // and its memory
  }
  embedding_.backward(
      d_h, ParameterSet::stretch(gradient, {network_.embed_weight_, network_.embed_bias_}));
  return gradient;
}

}  // namespace cdsp
