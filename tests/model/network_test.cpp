// The network all variants share: patches, shapes, parameters, answers, and the slope of the whole
// loss.
#include "model/network.h"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "base/error.h"
#include "kernels/patch_embedding.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/numerics.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"
#include "train/objective.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

Config with_engine(Config config, Engine engine) {
  config.train.engine = engine == Engine::kFused      ? EngineChoice::kFused
                        : engine == Engine::kEmulated ? EngineChoice::kEmulated
                                                      : EngineChoice::kReference;
  return config;
}

TinyShape few_images() {
  TinyShape shape;
  shape.train = {2, 1, 2};
  return shape;
}

/// The loss of a training step, with constant conflicts in place of the last step's gradients.
struct WholeLoss {
  Config config;
  TinyShape shape;
  Network network;
  Batch batch;
  at::Tensor tasks;
  std::vector<at::Tensor> conflicts;

  WholeLoss(const Config& c, const TinyShape& s)
      : config(c), shape(s), network(config, input_shape_of(s), at::kCPU) {
    const Dataset data = tiny_dataset(s);
    batch = first_images(data.train, data.train.size());
    tasks = one_hot_tasks(batch.tasks, s.tasks(), at::kDouble);
    Draw draw(1);
    for (size_t layer = 0; layer < network.alphas().size(); ++layer) {
      const at::Tensor c_ij =
          draw.uniform({config.moe.num_experts, config.moe.num_experts}, 0.0, 1.0);
      conflicts.push_back(c_ij.tril(-1) + c_ij.triu(1));
    }
  }

  at::Tensor operator()() const {
    ForwardRequest request;
    request.conflict_sites = config.variant == Variant::kCdsp;
    request.router_probabilities = config.variant != Variant::kCdsp;
    return objective(config, network.forward(batch.images, tasks, request), batch.labels, conflicts)
        .total;
  }
};

void check_whole_loss(const Config& config, const TinyShape& shape) {
  const WholeLoss loss(config, shape);
  std::vector<GradientInput> inputs;
  for (const Parameter& parameter : loss.network.parameters().all()) {
    const bool is_reached = config.variant != Variant::kBlind ||
                            parameter.name.find("task_embedding") == std::string::npos;
    if (is_reached) inputs.push_back({parameter.name, parameter.value});
  }
  check_gradients([&loss] { return loss(); }, inputs, 1e-6);
}

}  // namespace

TEST_CASE("patches go row by row, each flattened row by row, scaled to [-1, 1]") {
  // A 4 x 6 image that counts its pixels, in patches of 2 x 2.
  const at::Tensor image = at::arange(24, at::kByte).view({1, 4, 6});
  const at::Tensor first = at::tensor({0, 1, 6, 7}, at::kDouble);
  const at::Tensor second = at::tensor({2, 3, 8, 9}, at::kDouble);
  const at::Tensor fourth = at::tensor({12, 13, 18, 19}, at::kDouble);
  const at::Tensor patches = patches_of(image, 2, at::kDouble);
  CHECK(patches.sizes() == at::IntArrayRef({1, 6, 4}));
  CHECK(relative_error(patches[0][0], first / 127.5 - 1.0) < 1e-15);
  CHECK(relative_error(patches[0][1], second / 127.5 - 1.0) < 1e-15);
  CHECK(relative_error(patches[0][3], fourth / 127.5 - 1.0) < 1e-15);
}

TEST_CASE("black is -1 and white is 1") {
  const at::Tensor image = at::tensor({0, 255, 255, 0}, at::kByte).view({1, 2, 2});
  const at::Tensor expected = at::tensor({-1.0, 1.0, 1.0, -1.0}, at::kDouble).view({1, 1, 4});
  CHECK(at::equal(patches_of(image, 2, at::kDouble), expected));
  CHECK(at::equal(patches_of(image, 2, at::kFloat), expected.to(at::kFloat)));
}

TEST_CASE("the images stay as they are") {
  const at::Tensor images = Draw(1).bytes({2, 8, 8}), before = images.clone();
  CHECK(patches_of(images, 1, at::kFloat).size(1) == 64);
  CHECK(at::equal(images, before));
}

TEST_CASE("the paper's shape has the paper's parameters") {
  Config config;
  const auto count = [&config](Variant variant) {
    config.variant = variant;
    return Network(config, {28, 28, 3}, at::kCPU).parameters().count();
  };
  // embed 1,088 and head 650 and norm 64; a block: norms 128, attention 12,288, router 648, tasks
  // 48, and U, V, A 32,832 or the experts 33,536.
  CHECK(count(Variant::kCdsp) == 1802 + 2 * (13112 + 32832));
  CHECK(count(Variant::kBaseline) == 1802 + 2 * (13112 + 33536));
  CHECK(count(Variant::kBlind) == count(Variant::kBaseline));
}

TEST_CASE("the parameters bear the names and shapes of the file format") {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline}) {
    Config config = tiny_config(variant);
    config.model.layers = 1;
    const Network network(config, {8, 8, 3}, at::kCPU);
    for (const Parameter& p : network.parameters().all()) shapes[p.name] = p.value.sizes().vec();
  }
  const std::map<std::string, std::vector<int64_t>> expected = {
      {"embed.weight", {8, 16}},
      {"embed.bias", {8}},
      {"blocks.0.norm1.weight", {8}},
      {"blocks.0.attn.wq.weight", {8, 8}},
      {"blocks.0.attn.wk.weight", {4, 8}},
      {"blocks.0.attn.wv.weight", {4, 8}},
      {"blocks.0.attn.wo.weight", {8, 8}},
      {"blocks.0.norm2.weight", {8}},
      {"blocks.0.moe.router.weight", {4, 11}},
      {"blocks.0.moe.router.bias", {4}},
      {"blocks.0.moe.task_embedding.weight", {3, 3}},
      {"blocks.0.moe.U", {8, 22}},
      {"blocks.0.moe.V", {22, 8}},
      {"blocks.0.moe.alpha", {4, 4}},
      {"blocks.0.moe.experts.w1", {4, 5, 8}},
      {"blocks.0.moe.experts.b1", {4, 5}},
      {"blocks.0.moe.experts.w2", {4, 8, 5}},
      {"blocks.0.moe.experts.b2", {4, 8}},
      {"norm.weight", {8}},
      {"head.weight", {4, 8}},
      {"head.bias", {4}}};
  CHECK(shapes == expected);
}

TEST_CASE("only the topology logits learn at the fast speed") {
  const Network network(tiny_config(), {8, 8, 3}, at::kCPU);
  for (const Parameter& p : network.parameters().all()) {
    INFO(p.name);
    const bool is_alpha = p.name.find(".alpha") != std::string::npos;
    CHECK((p.group == ParameterGroup::kTopology) == is_alpha);
  }
}

TEST_CASE("every parameter is a view of one flat buffer, in order") {
  const Network network(tiny_config(), {8, 8, 3}, at::kCPU);
  int64_t offset = 0;
  for (const Parameter& p : network.parameters().all()) {
    INFO(p.name);
    CHECK(p.value.is_leaf());
    CHECK(p.value.requires_grad());
    const at::Tensor stretch = network.parameters().flat().narrow(0, offset, p.value.numel());
    CHECK(stretch.data_ptr() == p.value.data_ptr());
    offset += p.value.numel();
  }
  CHECK(offset == network.parameters().count());
  CHECK(offset == network.parameters().flat().numel());
}

TEST_CASE("the head may do without a bias") {
  Config config = tiny_config();
  const int64_t with_bias = Network(config, {8, 8, 3}, at::kCPU).parameters().count();
  config.model.head_bias = false;
  const Network network(config, {8, 8, 3}, at::kCPU);
  CHECK(network.parameters().count() == with_bias - 4);
  CHECK_THROWS_AS(parameter_of(network, "head.bias"), std::out_of_range);
}

TEST_CASE("an image's logits do not depend on the other images of its batch") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    for (const Numerics& n : exact_numerics()) {
      INFO(to_string(variant) << ", " << n.name);
      const Dataset data = tiny_dataset();
      const Network network(with_engine(tiny_config(variant), n.engine), {8, 8, 3}, at::kCPU);
      const Batch all = first_images(data.train, 13);
      const at::Tensor tasks = one_hot_tasks(all.tasks, 3, at::kDouble);
      const at::Tensor together = network.forward(all.images, tasks).logits;
      CHECK(together.sizes() == at::IntArrayRef({13, 4}));
      for (const int64_t image : {0, 6, 12}) {
        const at::Tensor alone =
            network.forward(all.images.narrow(0, image, 1), tasks.narrow(0, image, 1)).logits;
        CHECK(relative_error(alone[0], together[image]) < 1e-13);
      }
    }
  }
}

TEST_CASE("both engines and both dtypes give the same logits") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline}) {
    Config config = tiny_config(variant);
    const Batch batch = first_images(tiny_dataset().train, 13);
    const auto logits = [&](const Numerics& n) {
      config.model.dtype = n.dtype == at::kDouble ? DType::kFloat64 : DType::kFloat32;
      const Network network(with_engine(config, n.engine), {8, 8, 3}, at::kCPU);
      CHECK(network.engine() == n.engine);
      return network.forward(batch.images, one_hot_tasks(batch.tasks, 3, n.dtype)).logits;
    };
    const at::Tensor expected = logits(all_numerics()[0]);
    for (const Numerics& n : all_numerics()) {
      INFO(to_string(variant) << ", " << n.name);
      const at::Tensor found = logits(n);
      CHECK(found.scalar_type() == n.dtype);
      CHECK(relative_error(found, expected) < n.tolerance);
    }
  }
}

TEST_CASE("only variant blind is deaf to the task") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    const Network network(tiny_config(variant), {8, 8, 3}, at::kCPU);
    const Batch batch = first_images(tiny_dataset().train, 13);
    const at::Tensor told =
        network.forward(batch.images, one_hot_tasks(batch.tasks, 3, at::kDouble)).logits;
    const at::Tensor untold = network.forward(batch.images, {}).logits;
    CHECK(at::equal(told, untold) == (variant == Variant::kBlind));
    CHECK(network.sees_tasks() == (variant != Variant::kBlind));
  }
}

TEST_CASE("a forward pass keeps what it was asked to keep, and no more") {
  const Batch batch = first_images(tiny_dataset().train, 3);
  const Network cdsp(tiny_config(), {8, 8, 3}, at::kCPU);
  const ForwardResult plain = cdsp.forward(batch.images, {});
  CHECK(plain.routing.size() == 2);
  CHECK(plain.sites.empty());
  CHECK_FALSE(plain.routing[0].probabilities.defined());
  ForwardRequest request;
  request.conflict_sites = request.router_probabilities = true;
  const ForwardResult full = cdsp.forward(batch.images, {}, request);
  CHECK(full.sites.size() == 2);
  CHECK(full.sites[1].mask.sizes() == at::IntArrayRef({4, 22}));
  CHECK(full.routing[1].probabilities.sizes() == at::IntArrayRef({12, 4}));
  CHECK(at::equal(full.sites[0].active, selection_counts(full.routing[0]).gt(0)));
  const Network baseline(tiny_config(Variant::kBaseline), {8, 8, 3}, at::kCPU);
  CHECK(baseline.forward(batch.images, {}, request).sites.empty());
  CHECK(baseline.alphas().empty());
  CHECK(cdsp.alphas().size() == 2);
}

TEST_CASE("the slope of the whole loss agrees with finite differences, for every variant") {
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(to_string(variant) << ", " << n.name);
  check_whole_loss(with_engine(tiny_config(variant), n.engine), few_images());
}

TEST_CASE(
    "the slope of the whole loss agrees with finite differences for the released code's keys") {
  Config config = tiny_config();
  config.model.head_bias = false;
  config.router.norm = RouterNorm::kSequence;
  config.conflict.penalty = ConflictPenalty::kSigmoid;
  config.conflict.determinism = 0.5;
  config.topology.init = TopologyInit::kSelfLoop;
  check_whole_loss(config, few_images());
}

TEST_CASE("other shapes work: one task, five tasks, three blocks, 12 x 8 images, k = 1 and k = N") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  Config config = with_engine(tiny_config(), engine);
  TinyShape shape = few_images();
  SECTION("one task") {
    shape.train = {5};
    shape.test = {3};
  }
  SECTION("five tasks and 12 x 8 images") {
    shape.train = shape.test = {2, 1, 2, 1, 2};
    shape.rows = 12;
  }
  SECTION("three blocks and patches of 2 x 2") {
    config.model.layers = 3;
    config.model.patch_size = 2;
  }
  SECTION("every expert, every column") {
    config.moe.top_k = 4;
    config.moe.rank = 22;
  }
  SECTION("rank 1, odd widths, as many key/value heads as heads") {
    config.moe.rank = 1;
    config.model.d_model = 12;
    config.model.kv_heads = 2;
    config.moe.num_experts = 3;
    config.moe.d_base = 23;
  }
  SECTION("an image of a single patch") { shape.rows = shape.cols = 4; }
  const bool has_attention = shape.rows * shape.cols > 16;
  const WholeLoss loss(config, shape);
  std::vector<GradientInput> inputs;
  for (const Parameter& p : loss.network.parameters().all()) {
    // With one token, softmax over one score has no slope.
    const bool is_score =
        p.name.find("wq") != std::string::npos || p.name.find("wk") != std::string::npos;
    if (has_attention || !is_score) inputs.push_back({p.name, p.value});
  }
  check_gradients([&loss] { return loss(); }, inputs, 1e-6);
}

TEST_CASE("one expert a token: the router has no slope, and the rest of the network has") {
  Config config = tiny_config();
  config.moe.top_k = 1;
  const WholeLoss loss(config, few_images());
  std::vector<GradientInput> inputs;
  for (const Parameter& p : loss.network.parameters().all()) {
    const bool is_router = p.name.find("router") != std::string::npos ||
                           p.name.find("task_embedding") != std::string::npos;
    if (!is_router) {
      inputs.push_back({p.name, p.value});
    } else {
      const at::Tensor gradient = gradients_of(loss(), {p.value})[0];
      INFO(p.name);
      CHECK(gradient.abs().max().item<double>() == 0.0);
    }
  }
  check_gradients([&loss] { return loss(); }, inputs, 1e-6);
}

TEST_CASE("engine auto is the fused one where there is one") {
  const auto resolved = [](EngineChoice choice, at::Device device, int64_t head = 16) {
    Config config;
    config.train.engine = choice;
    config.model.d_model = config.model.heads * head;
    return resolve_engine(config, device);
  };
  CHECK(resolved(EngineChoice::kAuto, at::kCPU) == Engine::kFused);
  CHECK(resolved(EngineChoice::kFused, at::kCPU) == Engine::kFused);
  CHECK(resolved(EngineChoice::kReference, at::kCPU) == Engine::kReference);
  CHECK(resolved(EngineChoice::kEmulated, at::kCPU) == Engine::kEmulated);
  // The CUDA kernels' source knows heads of 128; the CPU's kernels any.
  CHECK(resolved(EngineChoice::kAuto, at::kCPU, 256) == Engine::kFused);
  CHECK(resolved(EngineChoice::kEmulated, at::kCPU, 128) == Engine::kEmulated);
  CHECK_THROWS_AS(resolved(EngineChoice::kEmulated, at::kCPU, 130), InputError);
  const at::Device gpu(at::kCUDA, 0);
  CHECK_THROWS_AS(resolved(EngineChoice::kEmulated, gpu), InputError);
#ifdef CDSP_WITH_CUDA_KERNELS
  CHECK(resolved(EngineChoice::kAuto, gpu) == Engine::kFused);
  CHECK(resolved(EngineChoice::kFused, gpu) == Engine::kFused);
  CHECK(resolved(EngineChoice::kAuto, gpu, 130) == Engine::kReference);
  CHECK_THROWS_AS(resolved(EngineChoice::kFused, gpu, 130), InputError);
#else
  CHECK(resolved(EngineChoice::kAuto, gpu) == Engine::kReference);
  CHECK_THROWS_AS(resolved(EngineChoice::kFused, gpu), InputError);
#endif
}
