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
  TORCH_CHECK(blocks_.empty(), "a pass goes through the network once");
  const int64_t batch = images.size(0);
  // Kernels that follow each other image by image take each piece of the batch together.
  ImageWork embedding = embedding_.forward(images, network_.patch_size_, network_.embed_weight_,
                                           network_.embed_bias_);
  at::Tensor h = embedding.result;
  blocks_.resize(network_.blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Network::Block& block = network_.blocks_[i];
    BlockPass& pass = blocks_[i];
    pass.moe = block.moe->new_pass();
    const ImageWork attention = block.attention->forward(h, pass.attention);
    const ImageWork routing = block.router->route(attention.result, block.norm2, seen_tasks,
                                                  request.router_probabilities, pass.route);
    if (i == 0) {
      run_image_work(batch, {&embedding, &attention, &routing});
    } else {
      run_image_work(batch, {&attention, &routing});
    }
    const RoutedTokens tokens = pass.route.tokens();
    ConflictSite site;
    h = pass.moe->forward(tokens, request.conflict_sites ? &site : nullptr);
    if (site.gradients) result.sites.push_back(site);
    result.routing.push_back(tokens.routing);
  }
  const ImageWork head =
      head_.forward(h, network_.norm_, network_.head_weight_, network_.head_bias_);
  run_image_work(batch, {&head});
  result.logits = head.result;
  return result;
}

at::Tensor NetworkPass::backward(const OutputGradients& upstream) {
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  TORCH_CHECK(blocks_.size() == network_.blocks_.size(),
              "a pass goes back once, after its way forward");
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
  const int64_t batch = upstream.logits.size(0);
  const ImageWork head = head_.backward(upstream.logits, of_head);
  run_image_work(batch, {&head});
  at::Tensor d_h = head.result;
  for (size_t i = blocks_.size(); i-- > 0;) {
    const Network::Block& block = network_.blocks_[i];
    const BlockPass& pass = blocks_[i];
    RoutedGradients routed = pass.moe->backward(d_h, of_block(upstream.alpha, i), gradient);
    routed.probabilities = of_block(upstream.probabilities, i);
    const ImageWork routing = block.router->backward(pass.route, routed, block.norm2, gradient);
    const ImageWork attention = block.attention->backward(pass.attention, routing.result, gradient);
    if (i == 0) {
      const ImageWork embedding = embedding_.backward(
          attention.result,
          ParameterSet::stretch(gradient, {network_.embed_weight_, network_.embed_bias_}));
      run_image_work(batch, {&routing, &attention, &embedding});
    } else {
      run_image_work(batch, {&routing, &attention});
    }
    d_h = attention.result;
    blocks_.pop_back();  // and its memory
  }
  return gradient;
}

}  // namespace cdsp
