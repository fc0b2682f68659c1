#include "experiment/kernel_cases.h"

#include <functional>
#include <memory>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/random.h"
#include "conflict/lagged_game.h"
#include "experiment/bench_images.h"
#include "kernels/attention_block.h"
#include "kernels/causal_attention.h"
#include "kernels/cdsp_layer.h"
#include "kernels/flat_updates.h"
#include "kernels/normalise_and_route.h"
#include "kernels/patch_embedding.h"
#include "kernels/pooled_head.h"
#include "kernels/rotary.h"
#include "kernels/standard_experts.h"
#include "kernels/top_k_routing.h"
#include "model/network.h"
#include "model/topology.h"
#include "train/adamw.h"

namespace cdsp {
namespace {

std::string words(std::initializer_list<std::pair<int64_t, const char*>> parts) {
  std::string text;
  for (const auto& [count, what] : parts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  }
  return text;
}

using LayerFunction = std::function<at::Tensor(const CdspLayerInputs& in,
                                               const std::shared_ptr<ExpertGradients>& sink)>;

/// A network with its optimiser and a gradient, all of which an update changes.
struct Optimised {
  Network network;
  AdamW adamw;
  at::Tensor gradient;

  Optimised(const Config& config, const InputShape& shape, Engine engine)
      : network(config, shape, at::kCPU), adamw(network.parameters(), config.optimizer, engine) {}
};

/// Makes the cases of one config and batch; every tensor draws from a stream of its own.
class CaseMaker {
 public:
  CaseMaker(const Config& config, int64_t batch)
      : config_(config),
        batch_(batch),
        positions_((kBenchSide / config.model.patch_size) * (kBenchSide / config.model.patch_size)),
        tokens_(batch * positions_),
        dtype_(scalar_type(config.model.dtype)) {}

  /// As training runs it: the form that pays.
  KernelCase cdsp_layer_case() {
    return layer_case("cdsp_layer", [](const CdspLayerInputs& in, const auto& sink) {
      return cdsp_layer(in.x, in.routing, in.u, in.v, in.gate, in.mask, sink, Engine::kFused);
    });
  }
  /// Each form by itself: where does grouping pay (kernels/tile_sizes.h)?
  KernelCase dense_layer_case() { return layer_case("cdsp_layer_dense", cdsp_layer_dense_cpu); }
  KernelCase grouped_layer_case() {
    return layer_case("cdsp_layer_grouped", cdsp_layer_grouped_cpu);
  }

  /// The reference path beside `fused`.
  KernelCase layer_case(const char* name, const LayerFunction& fused) {
    const int64_t d = config_.model.d_model, d_base = config_.moe.d_base,
                  experts = config_.moe.num_experts;
    const at::Tensor x = leaf({tokens_, d}), u = leaf({d, d_base}, d),
                     v = leaf({d_base, d}, d_base);
    const Topology topology = select_topology(drawn_alpha(), d_base, config_.moe.resolved_rank());
    const at::Tensor gate = topology.gate.detach().clone().set_requires_grad(true);
    const Routing routing = drawn_routing();
    const auto sink = std::make_shared<ExpertGradients>();
    const auto forward = [=, mask = topology.mask, none = at::Tensor()](Engine engine) {
      if (engine == Engine::kFused) return fused({none, x, routing, u, v, gate, mask}, sink);
      return cdsp_layer(x, routing, u, v, gate, mask, sink, engine);
    };
    return {name,
            words({{tokens_, "tokens"},
                   {d_base, "columns"},
                   {config_.moe.resolved_rank(), "each"},
                   {experts, "experts"}}),
            {x, routing.weights, u, v, gate},
            forward,
            normal({tokens_, d})};
  }

  KernelCase standard_experts_case() {
    const int64_t d = config_.model.d_model, f = config_.moe.d_ffn,
                  experts = config_.moe.num_experts;
    const at::Tensor x = leaf({tokens_, d}), w1 = leaf({experts, f, d}, d),
                     b1 = leaf({experts, f}, d), w2 = leaf({experts, d, f}, f),
                     b2 = leaf({experts, d}, f);
    const Routing routing = drawn_routing();
    const auto forward = [=](Engine engine) {
      return standard_experts(x, routing, w1, b1, w2, b2, engine);
    };
    return {"standard_experts",
            words({{tokens_, "tokens"}, {f, "hidden units each"}, {experts, "experts"}}),
            {x, routing.weights, w1, b1, w2, b2},
            forward,
            normal({tokens_, d})};
  }

  KernelCase patch_embedding_case() {
    const int64_t d = config_.model.d_model, patch_size = config_.model.patch_size,
                  patch = patch_size * patch_size;
    const at::Tensor images =
        (normal({batch_, kBenchSide, kBenchSide}) * 40.0 + 128.0).clamp(0.0, 255.0).to(at::kByte);
    const at::Tensor weight = leaf({d, patch}, patch), bias = leaf({d});
    const auto forward = [=](Engine engine) {
      return embed_patches(images, patch_size, weight, bias, engine);
    };
    return {"patch_embedding",
            words({{tokens_, "tokens"}, {patch, "pixels each"}}),
            {weight, bias},
            forward,
            normal({batch_, positions_, d})};
  }

  KernelCase attention_block_case() {
    const int64_t d = config_.model.d_model, heads = config_.model.heads,
                  kv_heads = config_.model.kv_heads, kv_width = kv_heads * (d / heads);
    const at::Tensor h = leaf({batch_, positions_, d});
    const AttentionWeights weights = {leaf({d}), leaf({d, d}, d), leaf({kv_width, d}, d),
                                      leaf({kv_width, d}, d), leaf({d, d}, d)};
    const AttentionLayout layout = {heads, kv_heads, rotary_turns(positions_, d / heads, h),
                                    causal_mask(positions_, h.device())};
    const auto forward = [=](Engine engine) { return attention_block(h, weights, layout, engine); };
    return {"attention_block",
            words({{batch_, "images"},
                   {positions_, "positions"},
                   {heads, "heads"},
                   {kv_heads, "shared"}}),
            {h, weights.norm, weights.wq, weights.wk, weights.wv, weights.wo},
            forward,
            normal({batch_, positions_, d})};
  }

  KernelCase normalise_and_route_case() {
    const int64_t d = config_.model.d_model, experts = config_.moe.num_experts,
                  width = config_.router.task_embedding,
                  tasks = static_cast<int64_t>(config_.data.tasks.size());
    const at::Tensor h = leaf({batch_, positions_, d}), norm = leaf({d});
    const RouterWeights weights = {leaf({experts, d + width}, d + width), leaf({experts}),
                                   leaf({tasks, width})};
    const at::Tensor told =
        at::eye(tasks, h.options().requires_grad(false)).repeat({batch_, 1}).narrow(0, 0, batch_);
    const RouterRequest request = {config_.moe.top_k, config_.router.norm, false};
    const auto forward = [=](Engine engine) {
      return normalise_and_route(h, norm, weights, told, request, engine).routing.weights;
    };
    return {"normalise_and_route",
            words({{tokens_, "tokens"}, {request.top_k, "chosen"}, {experts, "experts"}}),
            {h, norm, weights.weight, weights.bias, weights.task_embedding},
            forward,
            normal({tokens_, experts})};
  }

  KernelCase pooled_head_case() {
    const int64_t d = config_.model.d_model, classes = config_.model.classes;
    const at::Tensor h = leaf({batch_, positions_, d}), norm = leaf({d}),
                     weight = leaf({classes, d}, d), bias = leaf({classes});
    const auto forward = [=](Engine engine) { return pooled_head(h, norm, weight, bias, engine); };
    return {"pooled_head",
            words({{tokens_, "tokens"}, {classes, "classes"}}),
            {h, norm, weight, bias},
            forward,
            normal({batch_, classes})};
  }

  KernelCase select_topology_case() {
    const int64_t d_base = config_.moe.d_base, rank = config_.moe.resolved_rank(),
                  experts = config_.moe.num_experts;
    const at::Tensor alpha = drawn_alpha().set_requires_grad(true);
    const auto forward = [=](Engine engine) {
      return select_topology(alpha, d_base, rank, engine).gate;
    };
    return {"select_topology",
            words({{experts, "experts"}, {d_base, "columns"}, {rank, "each"}}),
            {alpha},
            forward,
            normal({experts})};
  }

  /// What a step keeps of one layer's gradients, and what the next one makes of it.
  KernelCase conflict_game_case() {
    const int64_t d = config_.model.d_model, d_base = config_.moe.d_base,
                  experts = config_.moe.num_experts;
    const ConflictGradient kind = config_.conflict.gradient;
    const at::Tensor alpha = drawn_alpha(),
                     mask = select_topology(alpha, d_base, config_.moe.resolved_rank()).mask,
                     active = at::ones({experts}, at::kBool);
    const auto gradients = std::make_shared<ExpertGradients>();
    gradients->u = normal({experts, d, d_base}) * mask.unsqueeze(1);
    gradients->v = normal({experts, d_base, d}) * mask.unsqueeze(2);
    const ConflictSite site = {alpha, mask, active, gradients};
    const auto forward = [=](Engine engine) {
      LaggedGame game(kind, engine);
      game.store(site);
      return game.conflict(site);
    };
    const int64_t matrices = kind == ConflictGradient::kUv ? 2 : 1;
    return {"conflict_game",
            words({{experts, "experts"}, {matrices * d * d_base, "numbers each"}}),
            {},
            forward,
            {}};
  }

  /// Clipping and the update of a CDSP network's parameters at their two speeds.
  KernelCase adamw_case() {
    Config config = config_;
    config.variant = Variant::kCdsp;
    const InputShape shape = {kBenchSide, kBenchSide,
                              static_cast<int64_t>(config.data.tasks.size())};
    // Each engine moves a network of its own, and clips a gradient of its own.
    const auto reference = std::make_shared<Optimised>(config, shape, Engine::kReference),
               fused = std::make_shared<Optimised>(config, shape, Engine::kFused);
    const ParameterSet& parameters = fused->network.parameters();
    reference->gradient = normal({parameters.count()});
    fused->gradient = reference->gradient.clone();
    const std::vector<bool> reached(parameters.all().size(), true);
    const auto forward = [=, clip_norm = config.optimizer.clip_norm](Engine engine) {
      Optimised& own = engine == Engine::kFused ? *fused : *reference;
      clip_to_norm(own.gradient, clip_norm, engine);
      own.adamw.step(own.gradient, reached);
      return own.network.parameters().flat();
    };
    return {
        "adamw",
        words({{parameters.count(), "numbers"}, {static_cast<int64_t>(reached.size()), "tensors"}}),
        {},
        forward,
        {}};
  }

 private:
  at::Tensor normal(at::IntArrayRef shape) {
    RandomStream random(0, RandomPurpose::kTest, ++drawn_);
    at::Tensor values = at::empty(shape, at::kDouble);
    double* to = values.data_ptr<double>();
    for (int64_t i = 0; i < values.numel(); ++i) to[i] = random.normal();
    return values.to(dtype_);
  }

  /// A tensor that gradients are taken of; weights are scaled down by their number of inputs.
  at::Tensor leaf(at::IntArrayRef shape, int64_t inputs = 1) {
    return (normal(shape) / std::sqrt(static_cast<double>(inputs))).set_requires_grad(true);
  }

  /// Topology logits as they are before training.
  at::Tensor drawn_alpha() {
    const int64_t experts = config_.moe.num_experts;
    return normal({experts, experts}) * config_.topology.init_std;
  }

  /// A routing of the tokens by random logits; its weights are a leaf.
  Routing drawn_routing() {
    Routing routing =
        route_top_k(normal({tokens_, config_.moe.num_experts}), config_.moe.top_k, false);
    routing.weights = routing.weights.detach().clone().set_requires_grad(true);
    return routing;
  }

  const Config& config_;
  int64_t batch_, positions_, tokens_;
  at::ScalarType dtype_;
  uint64_t drawn_ = 0;
};

using CaseFunction = KernelCase (CaseMaker::*)();
const std::vector<std::pair<const char*, CaseFunction>>& makers() {
  static const std::vector<std::pair<const char*, CaseFunction>> list = {
      {"cdsp_layer", &CaseMaker::cdsp_layer_case},
      {"cdsp_layer_dense", &CaseMaker::dense_layer_case},
      {"cdsp_layer_grouped", &CaseMaker::grouped_layer_case},
      {"standard_experts", &CaseMaker::standard_experts_case},
      {"patch_embedding", &CaseMaker::patch_embedding_case},
      {"attention_block", &CaseMaker::attention_block_case},
      {"normalise_and_route", &CaseMaker::normalise_and_route_case},
      {"pooled_head", &CaseMaker::pooled_head_case},
      {"select_topology", &CaseMaker::select_topology_case},
      {"conflict_game", &CaseMaker::conflict_game_case},
      {"adamw", &CaseMaker::adamw_case}};
  return list;
}

}  // namespace

std::vector<at::Tensor> KernelCase::backward(const at::Tensor& output) const {
  return torch::autograd::grad({output}, leaves, {upstream}, /*retain_graph=*/false,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const auto& [name, function] : makers()) names.emplace_back(name);
  return names;
}

std::vector<KernelCase> kernel_cases(const Config& config, int64_t batch) {
  require_fitting_patch(config);
  CaseMaker maker(config, batch);
  std::vector<KernelCase> cases;
  for (const auto& [name, function] : makers()) cases.push_back((maker.*function)());
  return cases;
}

}  // namespace cdsp
