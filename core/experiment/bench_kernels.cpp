#include "experiment/bench_kernels.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/random.h"
#include "experiment/bench_images.h"
#include "experiment/bench_timing.h"
#include "kernels/attention_block.h"
#include "kernels/causal_attention.h"
#include "kernels/cdsp_layer.h"
#include "kernels/normalise_and_route.h"
#include "kernels/patch_embedding.h"
#include "kernels/pooled_head.h"
#include "kernels/rotary.h"
#include "kernels/standard_experts.h"
#include "kernels/top_k_routing.h"
#include "model/network.h"
#include "model/topology.h"
#include "train/runtime.h"

namespace cdsp {
namespace {

constexpr std::array<Engine, 2> kEngines = {Engine::kReference, Engine::kFused};

std::string words(std::initializer_list<std::pair<int64_t, const char*>> parts) {
  std::string text;
  for (const auto& [count, what] : parts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  }
  return text;
}

/// Makes the cases of one config and batch; every tensor draws from a stream of its own.
class CaseMaker {
 public:
  CaseMaker(const Config& config, int64_t batch)
      : config_(config),
        batch_(batch),
        positions_((kBenchSide / config.model.patch_size) * (kBenchSide / config.model.patch_size)),
        tokens_(batch * positions_),
        dtype_(scalar_type(config.model.dtype)) {}

  KernelCase cdsp_layer_case() {
    const int64_t d = config_.model.d_model, d_base = config_.moe.d_base,
                  experts = config_.moe.num_experts;
    const at::Tensor x = leaf({tokens_, d}), u = leaf({d, d_base}, d),
                     v = leaf({d_base, d}, d_base);
    const Topology topology =
        select_topology(normal({experts, experts}) * config_.topology.init_std, d_base,
                        config_.moe.resolved_rank());
    const at::Tensor gate = topology.gate.detach().clone().set_requires_grad(true);
    const Routing routing = drawn_routing();
    const auto sink = std::make_shared<ExpertGradients>();
    const auto forward = [=, mask = topology.mask](Engine engine) {
      return cdsp_layer(x, routing, u, v, gate, mask, sink, engine);
    };
    return {"cdsp_layer",
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
      {"standard_experts", &CaseMaker::standard_experts_case},
      {"patch_embedding", &CaseMaker::patch_embedding_case},
      {"attention_block", &CaseMaker::attention_block_case},
      {"normalise_and_route", &CaseMaker::normalise_and_route_case},
      {"pooled_head", &CaseMaker::pooled_head_case}};
  return list;
}

/// Milliseconds a call.
struct PassTimes {
  double forward = 0, backward = 0;
};

PassTimes time_passes(const KernelCase& kernel, Engine engine, int64_t steps) {
  kernel.backward(kernel.forward(engine));  // caches and threads as this setting leaves them
  PassTimes times;
  for (int64_t step = 0; step < steps; ++step) {
    at::Tensor output;
    times.forward += milliseconds_of([&] { output = kernel.forward(engine); });
    times.backward += milliseconds_of([&] { kernel.backward(output); });
  }
  times.forward /= static_cast<double>(steps);
  times.backward /= static_cast<double>(steps);
  return times;
}

/// One kernel at one setting, with what its rounds have measured.
struct Setting {
  KernelCase kernel;
  KernelBenchResult result;                              // without times
  std::array<std::vector<double>, 2> forward, backward;  // by engine

  void measure(int64_t steps) {
    use_threads(result.threads);
    for (size_t e = 0; e < kEngines.size(); ++e) {
      const PassTimes times = time_passes(kernel, kEngines[e], steps);
      forward[e].push_back(times.forward);
      backward[e].push_back(times.backward);
    }
  }

  KernelBenchResult finished(const char* pass,
                             const std::array<std::vector<double>, 2>& times) const {
    KernelBenchResult row = result;
    row.pass = pass;
    row.reference_ms = summarise_times(times[0]).median;
    row.fused_ms = summarise_times(times[1]).median;
    std::vector<double> ratios;
    for (size_t i = 0; i < times[0].size(); ++i) ratios.push_back(times[0][i] / times[1][i]);
    row.speedup = summarise_times(ratios).median;
    return row;
  }
};

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

std::vector<KernelBenchResult> bench_kernels(const Config& base,
                                             const KernelBenchRequest& request) {
  const auto is_wanted = [&](const std::string& name) {
    return request.kernels.empty() ||
           std::find(request.kernels.begin(), request.kernels.end(), name) != request.kernels.end();
  };
  std::vector<Setting> settings;
  for (const int64_t batch : request.batches) {
    for (const DType dtype : request.dtypes) {
      Config config = base;
      config.model.dtype = dtype;
      for (const KernelCase& kernel : kernel_cases(config, batch)) {
        if (!is_wanted(kernel.kernel)) continue;
        for (const int64_t threads : request.threads) {
          Setting setting;
          setting.kernel = kernel;
          setting.result.kernel = kernel.kernel;
          setting.result.shape = kernel.shape;
          setting.result.dtype = to_string(dtype);
          setting.result.batch = batch;
          setting.result.threads = use_threads(threads);
          settings.push_back(std::move(setting));
        }
      }
    }
  }
  for (int64_t repeat = 0; repeat < request.repeats; ++repeat) {
    for (Setting& setting : settings) setting.measure(request.steps);
  }
  std::vector<KernelBenchResult> results;
  for (const Setting& setting : settings) {
    results.push_back(setting.finished("forward", setting.forward));
    results.push_back(setting.finished("backward", setting.backward));
  }
  return results;
}

}  // namespace cdsp
