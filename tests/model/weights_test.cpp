// Weights into and out of a network.
#include "model/weights.h"

#include <functional>
#include <string>

#include <ATen/ATen.h>

#include "base/error.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

Network network_of(const Config& config) { return Network(config, {8, 8, 3}, at::kCPU); }

Config other_seed(Config config) {
  config.seed += 1;
  return config;
}

/// The weights of the tiny network after `change`, and the message a tiny network refuses them
/// with.
std::string refusal(const std::function<void(TensorFile&)>& change) {
  const Network network = network_of(tiny_config());
  TensorFile content = weights_of(network_of(other_seed(tiny_config())));
  change(content);
  const at::Tensor before = network.parameters().flat().clone();
  std::string message =
      message_of<InputError>([&] { load_weights(network, content, "w.safetensors"); });
  CHECK(same_bytes(network.parameters().flat(), before));
  return message;
}

}  // namespace

TEST_CASE("a network written and read is the same network") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    const TemporaryFolder folder;
    const Config config = tiny_config(variant);
    const Network written = network_of(config), read = network_of(other_seed(config));
    write_safetensors(folder.path() / "w", weights_of(written));
    CHECK_FALSE(same_bytes(read.parameters().flat(), written.parameters().flat()));
    load_weights(read, folder.path() / "w");
    CHECK(same_bytes(read.parameters().flat(), written.parameters().flat()));
    const at::Tensor images = Draw(1).bytes({3, 8, 8});
    CHECK(same_bytes(read.forward(images, {}).logits, written.forward(images, {}).logits));
  }
}

TEST_CASE("float32 weights load into a float64 network, and the other way round") {
  Config single = tiny_config();
  single.model.dtype = DType::kFloat32;
  const Network narrow = network_of(single), wide = network_of(other_seed(tiny_config()));
  load_weights(wide, weights_of(narrow), "w");
  CHECK(same_bytes(wide.parameters().flat(), narrow.parameters().flat().to(at::kDouble)));
  const Network other = network_of(tiny_config());
  load_weights(narrow, weights_of(other), "w");
  CHECK(same_bytes(narrow.parameters().flat(), other.parameters().flat().to(at::kFloat)));
}

TEST_CASE("loaded weights are still leaves that want gradients") {
  const Network network = network_of(tiny_config());
  load_weights(network, weights_of(network_of(other_seed(tiny_config()))), "w");
  for (const Parameter& parameter : network.parameters().all()) {
    INFO(parameter.name);
    CHECK(parameter.value.is_leaf());
    CHECK(parameter.value.requires_grad());
  }
}

TEST_CASE("a missing tensor is named, and nothing is loaded") {
  CHECK(refusal([](TensorFile& content) { content.tensors.erase("norm.weight"); }) ==
        "w.safetensors: tensor norm.weight is missing; the config asks for a network that has it "
        "(another variant or size?)");
}

TEST_CASE("a tensor without a place is named, and nothing is loaded") {
  CHECK(refusal([](TensorFile& content) { content.tensors["extra"] = at::ones({2}); }) ==
        "w.safetensors: tensor extra has no place in the network of the config (another variant or "
        "size?)");
}

TEST_CASE("a tensor of another shape is named with both shapes, and nothing is loaded") {
  CHECK(refusal([](TensorFile& content) {
          content.tensors["blocks.1.moe.U"] = at::ones({8, 24}, at::kDouble);
        }) ==
        "w.safetensors: tensor blocks.1.moe.U has shape [8, 24], the config asks for [8, 22]");
}

TEST_CASE("integers are no weights") {
  CHECK(refusal([](TensorFile& content) {
          content.tensors["norm.weight"] = at::ones({8}, at::kLong);
        }) == "w.safetensors: tensor norm.weight holds integers, not weights");
}

TEST_CASE("the weights of another variant are refused") {
  const Network cdsp = network_of(tiny_config());
  const TensorFile baseline = weights_of(network_of(tiny_config(Variant::kBaseline)));
  const std::string message = message_of<InputError>([&] { load_weights(cdsp, baseline, "w"); });
  CHECK_THAT(message, Catch::Matchers::ContainsSubstring("another variant or size?"));
}
