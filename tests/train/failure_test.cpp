// Losses that are not finite end a run at that step, before the parameters are touched.
#include <cmath>
#include <string>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Sets one entry of a parameter.
void spoil(const Trainer& trainer, const std::string& name, double value) {
  const at::NoGradGuard no_grad;
  parameter_of(trainer.network(), name).view({-1})[0] = value;
}

/// The message of the next step, which must fail and leave parameters and optimiser as they are.
std::string failure_of(Trainer& trainer) {
  const at::Tensor weights = trainer.network().parameters().flat().clone();
  const at::Tensor moments = trainer.state().tensors.at("optimizer.first_moment").clone();
  const std::string message = message_of<WorkError>([&] { trainer.step(); });
  CHECK(same_bytes(trainer.network().parameters().flat(), weights));
  CHECK(same_bytes(trainer.state().tensors.at("optimizer.first_moment"), moments));
  return message;
}

}  // namespace

TEST_CASE("a NaN weight ends the run at that step, naming step, term and parameter norms") {
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Trainer trainer(tiny_config(variant), data, at::kCPU);
    trainer.step();
    trainer.step();
    spoil(trainer, "blocks.1.attn.wv.weight", std::nan(""));
    const std::string message = failure_of(trainer);
    CHECK_THAT(message, ContainsSubstring("step 3: loss_task is not finite; parameter norms: "
                                          "blocks.1.attn.wv.weight nan, "));
    CHECK_THAT(message, ContainsSubstring("head.weight "));
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("an infinite loss ends the run") {
  const Dataset data = tiny_dataset();
  Trainer trainer(tiny_config(), data, at::kCPU);
  spoil(trainer, "head.weight", HUGE_VAL);
  CHECK_THAT(failure_of(trainer), ContainsSubstring("step 1: loss_task is not finite"));
}

TEST_CASE("a regulariser that overflows is named, not the total that it spoils") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.conflict.l1 = 1e306;
  Trainer trainer(config, data, at::kCPU);
  spoil(trainer, "blocks.0.moe.alpha", 1e5);
  CHECK_THAT(failure_of(trainer), ContainsSubstring("step 1: loss_reg is not finite"));
}

TEST_CASE("a regulariser that overflows float32 is named by both engines") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.model.dtype = DType::kFloat32;
  config.conflict.l1 = 1e9;
  for (const EngineChoice engine : {EngineChoice::kReference, EngineChoice::kFused}) {
    config.train.engine = engine;
    Trainer trainer(config, data, at::kCPU);
    spoil(trainer, "blocks.0.moe.alpha", 1e35);
    CHECK_THAT(failure_of(trainer), ContainsSubstring("step 1: loss_reg is not finite"));
  }
}

TEST_CASE("a balance loss that overflows the total is named by it") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config(Variant::kBaseline);
  config.balance.lambda = 1e308;
  Trainer trainer(config, data, at::kCPU);
  CHECK_THAT(failure_of(trainer), ContainsSubstring("step 1: loss_total is not finite"));
}

TEST_CASE("a gradient that overflows ends the run though the loss is finite") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.conflict.l1 = 1e200;
  Trainer trainer(config, data, at::kCPU);
  CHECK_THAT(failure_of(trainer), ContainsSubstring("step 1: grad_norm is not finite"));
}
