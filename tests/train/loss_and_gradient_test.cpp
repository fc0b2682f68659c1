// Where the engines part in a training step: the fused engine's own backward pass against autograd
// over the reference path, step after step, with the conflict game between them.
#include "train/loss_and_gradient.h"

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// One engine's half of the comparison.
struct Half {
  Config config;
  Network network;
  std::vector<LaggedGame> games;
  std::vector<at::Tensor> epoch_conflict;

  Half(Config c, EngineChoice engine)
      : config(with(std::move(c), engine)), network(config, input_shape_of({}), at::kCPU) {
    const int64_t experts = config.moe.num_experts;
    for (size_t layer = 0; layer < network.alphas().size(); ++layer) {
      games.emplace_back(config.conflict.gradient, network.engine());
      epoch_conflict.push_back(at::zeros({experts, experts}, at::kDouble));
    }
  }

  static Config with(Config config, EngineChoice engine) {
    config.train.engine = engine;
    return config;
  }

  LossAndGradient step(const Batch& batch, const at::Tensor& tasks) {
    LossAndGradient found = loss_and_gradient(config, network, batch, tasks, games, epoch_conflict);
    for (size_t layer = 0; layer < games.size(); ++layer)
      games[layer].store(found.forward.sites[layer]);
    return found;
  }
};

enum class Told { kAll, kSome, kNobody };

void check_steps(const Config& config, Told told) {
  constexpr double kTolerance = 1e-11;
  Half fused(config, EngineChoice::kFused), reference(config, EngineChoice::kReference);
  const Dataset data = tiny_dataset();
  for (int step = 0; step < 3; ++step) {
    INFO("step " << step);
    const Batch all = first_images(data.train, 13);
    const Batch batch{all.images.narrow(0, 3 * step, 7), all.labels.narrow(0, 3 * step, 7),
                      all.tasks.narrow(0, 3 * step, 7)};
    at::Tensor tasks;
    if (told != Told::kNobody) tasks = one_hot_tasks(batch.tasks, 3, at::kDouble);
    if (told == Told::kSome) tasks[2].zero_();
    const LossAndGradient found = fused.step(batch, tasks), expected = reference.step(batch, tasks);
    CHECK(relative_error(found.forward.logits, expected.forward.logits.detach()) < kTolerance);
    CHECK(relative_error(found.terms.total, expected.terms.total.detach()) < kTolerance);
    CHECK(relative_error(found.terms.conflict, expected.terms.conflict.detach()) < kTolerance);
    CHECK(relative_error(found.terms.balance, expected.terms.balance.detach()) < kTolerance);
    CHECK(relative_error(found.gradient.flat, expected.gradient.flat) < kTolerance);
    CHECK(found.gradient.reached == expected.gradient.reached);
    for (size_t layer = 0; layer < fused.games.size(); ++layer) {
      const at::Tensor own = fused.games[layer].lagged(), other = reference.games[layer].lagged();
      CHECK((own - other).abs().max().item<double>() < kTolerance);
      CHECK((fused.epoch_conflict[layer] - reference.epoch_conflict[layer])
                .abs()
                .max()
                .item<double>() < kTolerance);
    }
  }
  if (config.variant == Variant::kCdsp) {
    CHECK(fused.epoch_conflict[0].max().item<double>() > 0.0);  // the game was played
  }
}

}  // namespace

TEST_CASE("three steps of both engines have the same gradients, games and reached parameters") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    for (const Told told : {Told::kAll, Told::kSome, Told::kNobody}) {
      for (const int64_t rank : {5, 20}) {  // grouped, dense
        INFO(to_string(variant) << ", told " << static_cast<int>(told) << ", rank " << rank);
        Config config = tiny_config(variant);
        config.moe.rank = rank;
        config.conflict.determinism = 0.5;
        check_steps(config, told);
      }
    }
  }
}

TEST_CASE("nothing that the fused engine's step returns can be differentiated") {
  Half fused(tiny_config(), EngineChoice::kFused);
  const Batch batch = first_images(tiny_dataset().train, 5);
  const LossAndGradient found = fused.step(batch, one_hot_tasks(batch.tasks, 3, at::kDouble));
  CHECK_FALSE(found.terms.total.requires_grad());
  CHECK_FALSE(found.forward.logits.requires_grad());
  CHECK_FALSE(found.gradient.flat.requires_grad());
}
