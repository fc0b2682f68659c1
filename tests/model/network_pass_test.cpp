// The fused engine's way through the network and back, against LibTorch's autograd over the same
// kernels and over the reference path.
#include "model/network_pass.h"

#include <algorithm>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/weights.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct PassCase {
  std::string name;
  Config config;
  bool with_tasks = true;
  int64_t images = 11;
  bool has_idle_expert = false;
};

std::vector<PassCase> cases() {
  std::vector<PassCase> all;
  const auto add = [&](const std::string& name, Variant variant) -> Config& {
    all.push_back({name, tiny_config(variant)});
    return all.back().config;
  };
  add("cdsp, grouped", Variant::kCdsp).moe.rank = 5;
  add("cdsp, dense", Variant::kCdsp).moe.rank = 20;
  add("cdsp, one of one expert", Variant::kCdsp).moe.num_experts = 1;
  all.back().config.moe.top_k = 1;
  add("cdsp, all experts", Variant::kCdsp).moe.top_k = 4;
  add("cdsp, tasks withheld from all", Variant::kCdsp);
  all.back().with_tasks = false;
  add("cdsp, norm over the sequence, no bias", Variant::kCdsp).router.norm = RouterNorm::kSequence;
  all.back().config.model.head_bias = false;
  add("baseline, switch", Variant::kBaseline).balance.kind = BalanceKind::kSwitch;
  add("baseline, cv2", Variant::kBaseline).balance.kind = BalanceKind::kCv2;
  add("baseline, three layers", Variant::kBaseline).model.layers = 3;
  add("baseline, one of four", Variant::kBaseline).moe.top_k = 1;
  add("blind", Variant::kBlind);
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline}) {
    const std::string name = to_string(variant);
    add(name + ", one image", variant);
    all.back().images = 1;
    add(name + ", an idle expert", variant);
    all.back().has_idle_expert = true;
    // 480 tokens: three blocks and shares of the experts' layers, 15 pieces of images.
    add(name + ", many images", variant);
    all.back().images = 120;
  }
  return all;
}

TinyShape shape_with(int64_t images) {
  TinyShape shape;
  for (int64_t& count : shape.train) count = std::max(count, images / 3 + 1);
  return shape;
}

/// The same weights by one engine.
struct Setup {
  Config config;
  Network network;
  Batch batch;
  at::Tensor tasks;
  ForwardRequest request;

  Setup(const PassCase& c, EngineChoice engine, DType dtype)
      : config(with(c.config, engine, dtype)),
        network(config, input_shape_of({}), at::kCPU),
        batch(first_images(tiny_dataset(shape_with(c.images)).train, c.images)) {
    if (c.with_tasks) {
      tasks = one_hot_tasks(batch.tasks, 3, network.dtype());
      if (c.images > 1) tasks[c.images / 2].zero_();  // one image is not told
    }
    if (c.has_idle_expert) {
      const at::NoGradGuard no_grad;
      for (int64_t layer = 0; layer < config.model.layers; ++layer) {
        const std::string bias = "blocks." + std::to_string(layer) + ".moe.router.bias";
        parameter_of(network, bias)[2].fill_(-100.0);
      }
    }
    request.conflict_sites = config.variant == Variant::kCdsp;
    request.router_probabilities =
        config.variant != Variant::kCdsp && config.balance.kind == BalanceKind::kSwitch;
  }

  static Config with(Config config, EngineChoice engine, DType dtype) {
    config.train.engine = engine;
    config.model.dtype = dtype;
    return config;
  }
};

/// What an objective could send back, drawn at random.
OutputGradients drawn_gradients(const Setup& setup, const ForwardResult& forward) {
  Draw draw(5);
  const int64_t experts = setup.config.moe.num_experts;
  const auto dtype = setup.network.dtype();
  OutputGradients gradients;
  gradients.logits = draw.normal(forward.logits.sizes()).to(dtype);
  for (size_t layer = 0; layer < forward.routing.size(); ++layer) {
    if (setup.request.router_probabilities)
      gradients.probabilities.push_back(draw.normal({experts}).to(dtype));
    if (setup.request.conflict_sites)
      gradients.alpha.push_back(draw.normal({experts, experts}).to(dtype));
  }
  return gradients;
}

/// The gradient in all parameters by LibTorch's autograd, flat, zeros where nothing arrives.
at::Tensor by_autograd(const Setup& setup, const ForwardResult& forward,
                       const OutputGradients& gradients) {
  at::Tensor sum = (forward.logits * gradients.logits).sum();
  for (size_t layer = 0; layer < gradients.probabilities.size(); ++layer)
    sum = sum + (forward.routing[layer].probabilities * gradients.probabilities[layer]).sum();
  for (size_t layer = 0; layer < gradients.alpha.size(); ++layer)
    sum = sum + (setup.network.alphas()[layer] * gradients.alpha[layer]).sum();
  const auto found = torch::autograd::grad({sum}, setup.network.parameters().values(), {}, false,
                                           false, /*allow_unused=*/true);
  std::vector<at::Tensor> pieces;
  for (size_t i = 0; i < found.size(); ++i) {
    const at::Tensor& value = setup.network.parameters().all()[i].value;
    pieces.push_back((found[i].defined() ? found[i] : at::zeros_like(value.detach())).reshape(-1));
  }
  return at::cat(pieces);
}

void check_same_forward(const ForwardResult& found, const ForwardResult& expected) {
  CHECK(same_bytes(found.logits, expected.logits.detach()));
  REQUIRE(found.routing.size() == expected.routing.size());
  for (size_t layer = 0; layer < found.routing.size(); ++layer) {
    const Routing &own = found.routing[layer], &other = expected.routing[layer];
    CHECK(at::equal(own.indices, other.indices));
    CHECK(same_bytes(own.weights, other.weights.detach()));
    CHECK(same_bytes(own.counts, other.counts));
    REQUIRE(own.probabilities.defined() == other.probabilities.defined());
    if (own.probabilities.defined())
      CHECK(same_bytes(own.probabilities, other.probabilities.detach()));
  }
  REQUIRE(found.sites.size() == expected.sites.size());
  for (size_t layer = 0; layer < found.sites.size(); ++layer) {
    CHECK(same_bytes(found.sites[layer].mask, expected.sites[layer].mask));
    CHECK(at::equal(found.sites[layer].active, expected.sites[layer].active));
  }
}

}  // namespace

TEST_CASE("the pass goes forward with the bytes of the kernels under autograd") {
  for (const PassCase& c : cases()) {
    for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
      INFO(c.name << ", " << to_string(dtype));
      const Setup setup(c, EngineChoice::kFused, dtype);
      REQUIRE(NetworkPass::serves(setup.network));
      NetworkPass pass(setup.network);
      const ForwardResult found = pass.forward(setup.batch.images, setup.tasks, setup.request);
      check_same_forward(found,
                         setup.network.forward(setup.batch.images, setup.tasks, setup.request));
      CHECK_FALSE(found.logits.requires_grad());
    }
  }
}

TEST_CASE("the pass goes back as autograd over the same kernels, and over the reference path") {
  for (const PassCase& c : cases()) {
    for (const DType dtype : {DType::kFloat64, DType::kFloat32}) {
      INFO(c.name << ", " << to_string(dtype));
      const double tolerance = dtype == DType::kFloat64 ? 1e-12 : 3e-5;
      const Setup setup(c, EngineChoice::kFused, dtype);
      const Setup reference(c, EngineChoice::kReference, dtype);
      CHECK_FALSE(NetworkPass::serves(reference.network));
      NetworkPass pass(setup.network);
      const ForwardResult forward = pass.forward(setup.batch.images, setup.tasks, setup.request);
      const OutputGradients gradients = drawn_gradients(setup, forward);
      const at::Tensor found = pass.backward(gradients);
      const ForwardResult with_graph =
          setup.network.forward(setup.batch.images, setup.tasks, setup.request);
      CHECK(relative_error(found, by_autograd(setup, with_graph, gradients)) < tolerance / 10);
      const ForwardResult by_reference =
          reference.network.forward(reference.batch.images, reference.tasks, reference.request);
      CHECK(relative_error(found, by_autograd(reference, by_reference, gradients)) < tolerance);
      for (size_t layer = 0; layer < forward.sites.size(); ++layer) {
        const ExpertGradients &own = *forward.sites[layer].gradients,
                              &expected = *by_reference.sites[layer].gradients;
        CHECK(relative_error(own.u, expected.u) < tolerance);
        CHECK(relative_error(own.v, expected.v) < tolerance);
      }
    }
  }
}

TEST_CASE("an idle expert is in the cases above, and its gradients are zero") {
  for (const PassCase& c : cases()) {
    if (!c.has_idle_expert || c.config.variant != Variant::kCdsp) continue;
    const Setup setup(c, EngineChoice::kFused, DType::kFloat64);
    NetworkPass pass(setup.network);
    const ForwardResult forward = pass.forward(setup.batch.images, setup.tasks, setup.request);
    pass.backward(drawn_gradients(setup, forward));
    for (const ConflictSite& site : forward.sites) {
      CHECK_FALSE(site.active[2].item<bool>());
      CHECK(at::equal(site.gradients->u[2], at::zeros_like(site.gradients->u[2])));
      CHECK(at::equal(site.gradients->v[2], at::zeros_like(site.gradients->v[2])));
    }
  }
}

TEST_CASE("a pass goes forward once and back once, in this order") {
  const Setup setup({"", tiny_config()}, EngineChoice::kFused, DType::kFloat64);
  NetworkPass pass(setup.network);
  CHECK_THROWS_WITH(pass.backward({}), Catch::Matchers::ContainsSubstring("after its way forward"));
  const auto forward = [&] { return pass.forward(setup.batch.images, setup.tasks, setup.request); };
  const OutputGradients gradients = drawn_gradients(setup, forward());
  CHECK_THROWS_WITH(forward(), Catch::Matchers::ContainsSubstring("once"));
  pass.backward(gradients);
  CHECK_THROWS_WITH(pass.backward(gradients), Catch::Matchers::ContainsSubstring("goes back once"));
}

TEST_CASE("under autograd the kernels go back once, and over weights that nobody changed") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline}) {
    const Setup setup({"", tiny_config(variant)}, EngineChoice::kFused, DType::kFloat64);
    const auto values = setup.network.parameters().values();
    const auto loss = [&] {
      return setup.network.forward(setup.batch.images, setup.tasks).logits.square().sum();
    };
    const auto slopes = [&](const at::Tensor& of) {
      return torch::autograd::grad({of}, values, {}, /*retain_graph=*/false, false, true);
    };
    const at::Tensor first = loss();
    slopes(first);
    CHECK_THROWS_WITH(slopes(first), Catch::Matchers::ContainsSubstring("second time"));
    for (const Parameter& parameter : setup.network.parameters().all()) {
      if (parameter.name.find("blocks.0") == std::string::npos) continue;
      if (parameter.group == ParameterGroup::kTopology) continue;  // saved as a mask and a slope
      INFO(parameter.name);
      const at::Tensor later = loss();
      {
        const at::NoGradGuard no_grad;
        at::Tensor value = parameter.value;
        value.mul_(1.0);
      }
      CHECK_THROWS_WITH(slopes(later), Catch::Matchers::ContainsSubstring("inplace operation"));
    }
  }
}

TEST_CASE("where no image had a task, the task embedding's gradient is zero") {
  PassCase c{"", tiny_config(), false};
  const Setup setup(c, EngineChoice::kFused, DType::kFloat64);
  NetworkPass pass(setup.network);
  const ForwardResult forward = pass.forward(setup.batch.images, setup.tasks, setup.request);
  const at::Tensor flat = pass.backward(drawn_gradients(setup, forward));
  int64_t offset = 0;
  for (const Parameter& parameter : setup.network.parameters().all()) {
    const at::Tensor own = flat.narrow(0, offset, parameter.value.numel());
    offset += parameter.value.numel();
    INFO(parameter.name);
    if (parameter.input == ParameterInput::kTask) {
      CHECK(at::equal(own, at::zeros_like(own)));
    } else {
      CHECK(own.abs().max().item<double>() > 0.0);
    }
  }
}

TEST_CASE("a stretch of a flat vector belongs to neighbouring parameters only") {
  const Network network(tiny_config(), input_shape_of({}), at::kCPU);
  const at::Tensor flat =
      at::arange(network.parameters().count(), at::TensorOptions().dtype(at::kDouble));
  const at::Tensor u = parameter_of(network, "blocks.1.moe.U"),
                   v = parameter_of(network, "blocks.1.moe.V"),
                   alpha = parameter_of(network, "blocks.1.moe.alpha");
  const at::Tensor both = ParameterSet::stretch(flat, {u, v});
  CHECK(both.numel() == u.numel() + v.numel());
  CHECK(both[0].item<double>() == static_cast<double>(u.storage_offset()));
  CHECK(both[-1].item<double>() == static_cast<double>(v.storage_offset() + v.numel() - 1));
  CHECK_THROWS_WITH(ParameterSet::stretch(flat, {v, u}),
                    Catch::Matchers::ContainsSubstring("neighbours"));
  CHECK_THROWS_WITH(ParameterSet::stretch(flat, {u, alpha}),
                    Catch::Matchers::ContainsSubstring("neighbours"));
}
