#include "model/network.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "kernels/cuda_stream.h"
#include "kernels/patch_embedding.h"
#include "kernels/pooled_head.h"
#include "kernels/rotary_attention.h"

namespace cdsp {

at::ScalarType scalar_type(DType dtype) {
  return dtype == DType::kFloat64 ? at::kDouble : at::kFloat;
}

Engine resolve_engine(const Config& config, at::Device device) {
#ifdef CDSP_WITH_CUDA_KERNELS
  constexpr bool kHasCudaKernels = true;
#else
  constexpr bool kHasCudaKernels = false;
#endif
  const EngineChoice choice = config.train.engine;
  if (choice == EngineChoice::kReference) return Engine::kReference;
  if (device.is_cpu() && choice != EngineChoice::kEmulated) return Engine::kFused;
  if (!device.is_cpu() && choice == EngineChoice::kEmulated) {
    throw InputError("train.engine: emulated runs on the CPU only; on " + device.str() +
                     " use reference, fused or auto");
  }
  if (!device.is_cpu() && !kHasCudaKernels) {
    if (choice == EngineChoice::kAuto) return Engine::kReference;
    throw InputError(
        "train.engine: fused on " + device.str() +
        " needs a program built with its own CUDA kernels (preset cuda); use reference "
        "or auto");
  }
  const int64_t d_head = config.model.d_model / config.model.heads;
  if (d_head > kWidestCudaHead) {
    if (choice == EngineChoice::kAuto) return Engine::kReference;
    throw InputError("train.engine: the CUDA kernels know attention heads of at most " +
                     std::to_string(kWidestCudaHead) + " numbers, model.d_model / model.heads is " +
                     std::to_string(d_head) + "; use reference or auto");
  }
  return choice == EngineChoice::kEmulated ? Engine::kEmulated : Engine::kFused;
}

void require_precision(const Config& config, Engine engine, at::Device device) {
  const std::string precision = to_string(config.train.precision);
  if (config.train.precision == Precision::kFull) return;
  if (!uses_block_programs(engine, device)) {
    throw InputError("train.precision: " + precision +
                     " needs the CUDA kernels, engine fused on a GPU or emulated; with " +
                     name_of(engine) + " on " + device.str() +
                     " use full (--set train.precision=full evaluates a finished run there)");
  }
  if (config.model.dtype != DType::kFloat32) {
    throw InputError("train.precision: " + precision + " is of model.dtype float32; with " +
                     to_string(config.model.dtype) + " use full");
  }
#ifdef CDSP_WITH_CUDA_KERNELS
  if (!device.is_cuda()) return;
  const int capability = cuda_compute_capability(device.index());
  if (capability < kFewerBitsCapability) {
    throw InputError("train.precision: " + precision + " needs a GPU of compute capability 8.0; " +
                     device.str() + " has " + std::to_string(capability / 10) + "." +
                     std::to_string(capability % 10) + "; use full");
  }
#endif
}

Network::Network(const Config& config, const InputShape& shape, at::Device device)
    : shape_(shape),
      device_(device),
      dtype_(scalar_type(config.model.dtype)),
      engine_(resolve_engine(config, device)),
      patch_size_(config.model.patch_size),
      sees_tasks_(config.variant != Variant::kBlind) {
  require_precision(config, engine_, device);
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
    block.attention =
        std::make_unique<Attention>(config, positions, prefix, initialiser, parameters_, engine_);
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
  const at::Tensor seen_tasks = sees_tasks_ ? task_one_hot : at::Tensor();
  ForwardResult result;
  at::Tensor h = embed_patches(images, patch_size_, embed_weight_, embed_bias_, engine_);
  for (const Block& block : blocks_) {
    h = block.attention->forward(h);
    const RoutedTokens tokens =
        block.router->route(h, block.norm2, seen_tasks, request.router_probabilities);
    ConflictSite site;
    h = block.moe->forward(tokens, request.conflict_sites ? &site : nullptr);
    if (site.gradients) result.sites.push_back(site);
    result.routing.push_back(tokens.routing);
  }
  result.logits = pooled_head(h, norm_, head_weight_, head_bias_, engine_);
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
