#include "model/network.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "kernels/rms_norm.h"

namespace cdsp {

at::ScalarType scalar_type(DType dtype) {
  return dtype == DType::kFloat64 ? at::kDouble : at::kFloat;
}

Engine resolve_engine(EngineChoice choice, at::Device device) {
#ifdef CDSP_WITH_CUDA_KERNELS
  constexpr bool kHasCudaKernels = true;
#else
  constexpr bool kHasCudaKernels = false;
#endif
  if (choice == EngineChoice::kReference) return Engine::kReference;
  if (choice == EngineChoice::kEmulated) {
    if (device.is_cpu()) return Engine::kEmulated;
    throw InputError("train.engine: emulated runs on the CPU only; on " + device.str() +
                     " use reference, fused or auto");
  }
  if (device.is_cpu() || kHasCudaKernels) return Engine::kFused;
  if (choice == EngineChoice::kFused) {
    throw InputError(
        "train.engine: fused on " + device.str() +
        " needs a program built with its own CUDA kernels (preset cuda); use reference "
        "or auto");
  }
  return Engine::kReference;
}

at::Tensor patches_of(const at::Tensor& images, int64_t patch_size, at::ScalarType dtype) {
  const int64_t batch = images.size(0);
  const int64_t down = images.size(1) / patch_size, across = images.size(2) / patch_size;
  return images.view({batch, down, patch_size, across, patch_size})
      .permute({0, 1, 3, 2, 4})
      .reshape({batch, down * across, patch_size * patch_size})
      .to(dtype)
      .div_(127.5)
      .sub_(1.0);
}

Network::Network(const Config& config, const InputShape& shape, at::Device device)
    : shape_(shape),
      device_(device),
      dtype_(scalar_type(config.model.dtype)),
      engine_(resolve_engine(config.train.engine, device)),
      patch_size_(config.model.patch_size),
      sees_tasks_(config.variant != Variant::kBlind) {
  const Initialiser initialiser(config.seed, dtype_, device);
  const int64_t d = config.model.d_model, patch = patch_size_ * patch_size_;
  const int64_t positions = (shape.rows / patch_size_) * (shape.cols / patch_size_);
  const auto add_linear = [&](const std::string& name, at::IntArrayRef size, int64_t fan_in) {
    return parameters_.add(name, initialiser.linear(name, size, fan_in));
  };

  embed_weight_ = add_linear("embed.weight", {d, patch}, patch);
  embed_bias_ = add_linear("embed.bias", {d}, patch);
  for (int64_t layer = 0; layer < config.model.layers; ++layer) {
    const std::string prefix = "blocks." + std::to_string(layer);
    Block block;
    block.norm1 = parameters_.add(prefix + ".norm1.weight", initialiser.ones({d}));
    block.attention = std::make_unique<Attention>(config, positions, prefix + ".attn", initialiser,
                                                  parameters_, engine_);
    block.norm2 = parameters_.add(prefix + ".norm2.weight", initialiser.ones({d}));
    block.router = std::make_unique<Router>(config, shape.tasks, prefix + ".moe", initialiser,
                                            parameters_, engine_);
    block.moe = make_moe_layer(config, prefix + ".moe", initialiser, parameters_, engine_);
    blocks_.push_back(std::move(block));
  }
  norm_ = parameters_.add("norm.weight", initialiser.ones({d}));
  const std::vector<int64_t> head_shape = {config.model.classes, d};
  head_weight_ = config.model.head_init == HeadInit::kNormal
                     ? parameters_.add("head.weight", initialiser.normal("head.weight", head_shape))
                     : add_linear("head.weight", head_shape, d);
  if (config.model.head_bias) head_bias_ = add_linear("head.bias", {config.model.classes}, d);
  parameters_.flatten();
}

ForwardResult Network::forward(const at::Tensor& images, const at::Tensor& task_one_hot,
                               const ForwardRequest& request) const {
  const at::Tensor patches = patches_of(images, patch_size_, dtype_);
  const int64_t batch = patches.size(0), positions = patches.size(1), d = embed_weight_.size(0);
  const at::Tensor seen_tasks = sees_tasks_ ? task_one_hot : at::Tensor();

  ForwardResult result;
  at::Tensor h = at::addmm(embed_bias_, patches.view({batch * positions, -1}), embed_weight_.t())
                     .view({batch, positions, d});
  for (const Block& block : blocks_) {
    h = h + block.attention->forward(rms_norm(h, block.norm1, engine_));
    const at::Tensor x = rms_norm(h, block.norm2, engine_);
    const Routing routing = block.router->route(x, seen_tasks, request.router_probabilities);
    ConflictSite site;
    const at::Tensor mixed = block.moe->forward(x.view({batch * positions, d}), routing,
                                                request.conflict_sites ? &site : nullptr);
    if (site.gradients) result.sites.push_back(site);
    h = h + mixed.view({batch, positions, d});
    result.routing.push_back(routing);
  }
  // The head is linear, so the mean of the token logits is the head of the mean token.
  const at::Tensor pooled = rms_norm(h, norm_, engine_).mean(1);
  result.logits = head_bias_.defined() ? at::addmm(head_bias_, pooled, head_weight_.t())
                                       : at::mm(pooled, head_weight_.t());
  return result;
}

std::vector<at::Tensor> Network::alphas() const {
  std::vector<at::Tensor> alphas;
  for (const Block& block : blocks_) {
    const at::Tensor alpha = block.moe->alpha();
    if (alpha.defined()) alphas.push_back(alpha);
  }
  return alphas;
}

}  // namespace cdsp
