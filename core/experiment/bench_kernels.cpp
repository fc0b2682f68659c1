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
#include "kernels/causal_attention.h"
#include "kernels/cdsp_layer.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/rotary_attention.h"
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

  KernelCase rotary_attention_case() {
    const int64_t heads = config_.model.heads, kv_heads = config_.model.kv_heads,
                  d_head = config_.model.d_model / heads;
    const at::Tensor qkv = leaf({batch_, positions_, (heads + 2 * kv_heads) * d_head});
    const at::Tensor turns = rotary_turns(positions_, d_head, qkv);
    const at::Tensor future = causal_mask(positions_, qkv.device());
    const auto forward = [=](Engine engine) {
      return rotary_attention(qkv, heads, kv_heads, turns, future, engine);
    };
    return {"rotary_attention",
            words({{batch_, "images"},
                   {positions_, "positions"},
                   {heads, "heads"},
                   {kv_heads, "shared"}}),
            {qkv},
            forward,
            normal({batch_, positions_, heads * d_head})};
  }

  KernelCase rms_norm_case() {
    const int64_t d = config_.model.d_model;
    const at::Tensor x = leaf({batch_, positions_, d}), weight = leaf({d});
    const auto forward = [=](Engine engine) { return rms_norm(x, weight, engine); };
    return {"rms_norm",
            words({{tokens_, "tokens"}, {d, "features"}}),
            {x, weight},
            forward,
            normal({batch_, positions_, d})};
  }

  KernelCase top_k_routing_case() {
    const int64_t experts = config_.moe.num_experts, k = config_.moe.top_k;
    const at::Tensor logits = leaf({tokens_, experts});
    const auto forward = [=](Engine engine) {
      return route_top_k(logits, k, false, engine).weights;
    };
    return {"top_k_routing",
            words({{tokens_, "tokens"}, {k, "chosen"}, {experts, "experts"}}),
            {logits},
            forward,
            normal({tokens_, experts})};
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
    Routing routing = route_top_k(normal({tokens_, config_.moe.num_experts}), config_.moe.top_k,
                                  false, Engine::kReference);
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
      {"rotary_attention", &CaseMaker::rotary_attention_case},
      {"rms_norm", &CaseMaker::rms_norm_case},
      {"top_k_routing", &CaseMaker::top_k_routing_case}};
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
