// The training loop: which images when, what is counted, what repeats and what does not matter.
#include "train/trainer.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "base/error.h"
#include "conflict/penalty.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/finite_differences.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// Steps to the end; `look` sees every step's numbers.
void train(Trainer& trainer, const std::function<void(const StepMetrics&)>& look = {}) {
  while (!trainer.finished()) {
    trainer.step();
    if (look) look(trainer.read_metrics());
    if (trainer.at_epoch_end()) trainer.begin_epoch();
  }
}

at::Tensor final_weights(const Config& config, const Dataset& data,
                         bool look_at_every_step = false) {
  Trainer trainer(config, data, at::kCPU);
  train(trainer,
        look_at_every_step ? [](const StepMetrics&) {} : std::function<void(const StepMetrics&)>());
  return trainer.network().parameters().flat().clone();
}

/// How many images of each task every step saw.
std::vector<std::vector<double>> tasks_by_step(const Config& config, const Dataset& data) {
  std::vector<std::vector<double>> counts;
  Trainer trainer(config, data, at::kCPU);
  train(trainer, [&counts](const StepMetrics& m) { counts.push_back(m.task_count); });
  return counts;
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

TEST_CASE("an epoch sees every image once; its last batch may hold a single one") {
  // 13 images in batches of 4: three full steps and one image.
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Trainer trainer(tiny_config(variant), data, at::kCPU);
    CHECK(trainer.steps_per_epoch() == 4);
    CHECK(trainer.total_steps() == 8);
    CHECK(trainer.epoch() == 0);
    const std::vector<int64_t> images = {4, 8, 12, 13, 17, 21, 25, 26};
    std::vector<double> seen(3, 0.0);
    for (size_t step = 0; step < images.size(); ++step) {
      REQUIRE_FALSE(trainer.finished());
      trainer.step();
      const StepMetrics m = trainer.read_metrics();
      CHECK(m.step == static_cast<int64_t>(step) + 1);
      CHECK(m.epoch == (step < 4 ? 1 : 2));
      CHECK(m.images == images[step]);
      CHECK(trainer.images_seen() == images[step]);
      CHECK(trainer.at_epoch_end() == (step == 3 || step == 7));
      CHECK(sum(m.task_count) == (step % 4 == 3 ? 1.0 : 4.0));
      for (size_t task = 0; task < 3; ++task) seen[task] += m.task_count[task];
    }
    CHECK(trainer.finished());
    CHECK(seen == std::vector<double>{10.0, 8.0, 8.0});
  }
}

TEST_CASE("training lowers the loss of every variant") {
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Config config = tiny_config(variant);
    config.train.epochs = 30;
    config.train.batch_size = 13;
    Trainer trainer(config, data, at::kCPU);
    std::vector<double> losses;
    train(trainer, [&losses](const StepMetrics& m) { losses.push_back(m.loss_task); });
    CHECK(losses.back() < 0.8 * losses.front());
  }
}

TEST_CASE("max_steps ends a run early, in the middle of an epoch too") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.train.max_steps = 6;
  Trainer trainer(config, data, at::kCPU);
  CHECK(trainer.total_steps() == 6);
  train(trainer);
  CHECK(trainer.steps_done() == 6);
  CHECK(trainer.epoch() == 2);
  CHECK(trainer.at_epoch_end());
  config.train.max_steps = 100;
  CHECK(Trainer(config, data, at::kCPU).total_steps() == 8);
}

TEST_CASE("an order file is the order of every epoch") {
  const TemporaryFolder folder;
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  // Tasks of the images: 0 0 | 1 2 | 2; the file is an epoch of its own length.
  config.data.order_file = folder.write("order.txt", "3\n0\n5\n12\n9\n");
  config.train.batch_size = 2;
  Trainer trainer(config, data, at::kCPU);
  CHECK(trainer.steps_per_epoch() == 3);
  const std::vector<std::vector<double>> epoch = {{2, 0, 0}, {0, 1, 1}, {0, 0, 1}};
  std::vector<std::vector<double>> expected = epoch;
  expected.insert(expected.end(), epoch.begin(), epoch.end());
  CHECK(tasks_by_step(config, data) == expected);
}

TEST_CASE("the epoch's sums are those of its steps, and begin_epoch forgets them") {
  const Dataset data = tiny_dataset();
  Trainer trainer(tiny_config(), data, at::kCPU);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<double> count(3, 0.0), correct(3, 0.0), loss(3, 0.0);
    for (int step = 0; step < 4; ++step) {
      trainer.step();
      const StepMetrics m = trainer.read_metrics();
      CHECK(sum(m.task_loss) == Catch::Approx(m.loss_task * sum(m.task_count)).epsilon(1e-12));
      for (size_t task = 0; task < 3; ++task) {
        count[task] += m.task_count[task];
        correct[task] += m.task_correct[task];
        loss[task] += m.task_loss[task];
      }
    }
    CHECK(trainer.epoch_sums().count == std::vector<double>{5.0, 4.0, 4.0});
    CHECK(trainer.epoch_sums().count == count);
    CHECK(trainer.epoch_sums().correct == correct);
    CHECK(relative_error(trainer.epoch_sums().loss, loss) < 1e-13);
    trainer.begin_epoch();
    CHECK(trainer.epoch_sums().count == std::vector<double>(3, 0.0));
  }
}

TEST_CASE("the first step knows no conflict; the epoch's mean counts that step as zero") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.train.max_steps = 3;
  Trainer trainer(config, data, at::kCPU);
  double last_conflict = 0.0;
  at::Tensor sums = at::zeros({2, 4, 4}, at::kDouble);
  for (int step = 1; step <= 3; ++step) {
    const std::vector<at::Tensor> alphas = {trainer.network().alphas()[0].detach().clone(),
                                            trainer.network().alphas()[1].detach().clone()};
    trainer.step();
    const double conflict = trainer.read_metrics().loss_conflict;
    CHECK((conflict == 0.0) == (step == 1));
    // The mean times the steps so far, less what it was before, is this step's C.
    const auto mean = trainer.epoch_mean_conflict();
    const at::Tensor now = at::stack({mean[0], mean[1]}) * static_cast<double>(step);
    const at::Tensor c = now - sums;
    sums = now;
    last_conflict = (alphas[0] * c[0] + alphas[1] * c[1]).sum().item<double>();
    CHECK(conflict == Catch::Approx(last_conflict).epsilon(1e-10).margin(1e-14));
  }
  CHECK(sums.min().item<double>() >= 0.0);
  trainer.begin_epoch();
  CHECK(trainer.epoch_mean_conflict()[0].abs().max().item<double>() == 0.0);
}

TEST_CASE("the baselines have no conflict and no topology to report") {
  const Dataset data = tiny_dataset();
  Trainer trainer(tiny_config(Variant::kBaseline), data, at::kCPU);
  trainer.step();
  CHECK(trainer.epoch_mean_conflict().empty());
  CHECK_FALSE(trainer.read_metrics().alpha_sparsity.has_value());
  CHECK_FALSE(trainer.read_metrics().structural_entropy.has_value());
  CHECK(trainer.read_metrics().loss_balance > 0.0);
}

TEST_CASE("the gradient norm is taken over all parameters, and clipping scales the step to it") {
  // With moments at zero and no decay, the first AdamW step hardly feels a scale: compare first
  // moments.
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.train.batch_size = 13;
  const auto first_moment = [&](double clip_norm) {
    config.optimizer.clip_norm = clip_norm;
    Trainer trainer(config, data, at::kCPU);
    trainer.step();
    return std::pair(trainer.state().tensors.at("optimizer.first_moment"),
                     trainer.read_metrics().grad_norm);
  };
  const auto [unclipped, norm] = first_moment(0.0);
  CHECK(unclipped.norm().item<double>() == Catch::Approx(0.1 * norm).epsilon(1e-12));
  const auto [clipped, same_norm] = first_moment(norm / 3.0);
  CHECK(same_norm == norm);
  CHECK(relative_error(clipped, unclipped * (norm / 3.0 / (norm + 1e-6))) < 1e-12);
  CHECK(same_bytes(first_moment(norm * 2.0).first, unclipped));
}

TEST_CASE("the same seed gives the same bytes, another seed others") {
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Config config = tiny_config(variant);
    config.router.task_dropout = 0.4;
    const at::Tensor once = final_weights(config, data);
    CHECK(same_bytes(final_weights(config, data), once));
    config.seed += 1;
    CHECK_FALSE(same_bytes(final_weights(config, data), once));
  }
}

TEST_CASE("looking at every step, or asking to log more often, changes no weight") {
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.router.task_dropout = 0.4;
  const at::Tensor unseen = final_weights(config, data);
  config.train.log_every = 1;
  CHECK(same_bytes(final_weights(config, data, /*look_at_every_step=*/true), unseen));
}

TEST_CASE("task dropout, the variant and the weights leave the order of the data alone") {
  TinyShape shape;
  shape.train = {31, 29, 37};
  const Dataset data = tiny_dataset(shape);
  Config config = tiny_config();
  config.train.batch_size = 8;
  const auto expected = tasks_by_step(config, data);
  config.router.task_dropout = 0.5;
  CHECK(tasks_by_step(config, data) == expected);
  config.router.dropout_unit = DropoutUnit::kBatch;
  CHECK(tasks_by_step(config, data) == expected);
  config.variant = Variant::kBlind;
  CHECK(tasks_by_step(config, data) == expected);
  config.seed += 1;
  CHECK(tasks_by_step(config, data) != expected);
}

TEST_CASE("task dropout changes what a variant learns, unless it is blind") {
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Config config = tiny_config(variant);
    const at::Tensor told = final_weights(config, data);
    config.router.task_dropout = 0.5;
    CHECK(same_bytes(final_weights(config, data), told) == (variant == Variant::kBlind));
  }
}

TEST_CASE("a task embedding that no loss reaches does not move, decay included") {
  const Dataset data = tiny_dataset();
  const auto is_moved = [&](Config config) {
    config.optimizer.weight_decay = 0.5;
    Trainer trainer(config, data, at::kCPU);
    const at::Tensor embedding =
        parameter_of(trainer.network(), "blocks.0.moe.task_embedding.weight");
    const at::Tensor before = embedding.detach().clone();
    train(trainer);
    return !same_bytes(embedding, before);
  };
  Config config = tiny_config();
  CHECK(is_moved(config));
  for (const DropoutUnit unit : {DropoutUnit::kSample, DropoutUnit::kBatch}) {
    config.router.task_dropout = 1.0;
    config.router.dropout_unit = unit;
    CHECK_FALSE(is_moved(config));
  }
  CHECK_FALSE(is_moved(tiny_config(Variant::kBlind)));
}

TEST_CASE("training starts from the weights of train.init_from") {
  const TemporaryFolder folder;
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.seed = 77;
  const Network other(config, {8, 8, 3}, at::kCPU);
  write_safetensors(folder.path() / "w", weights_of(other));
  config.seed = 5;
  config.train.init_from = folder.path() / "w";
  const Trainer trainer(config, data, at::kCPU);
  CHECK(same_bytes(trainer.network().parameters().flat(), other.parameters().flat()));
  config.variant = Variant::kBaseline;
  CHECK_THROWS_AS(Trainer(config, data, at::kCPU), InputError);
}

TEST_CASE("one task, one image: the smallest run there is") {
  TinyShape shape;
  shape.train = shape.test = {1};
  const Dataset data = tiny_dataset(shape);
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant));
    Trainer trainer(tiny_config(variant), data, at::kCPU);
    train(trainer, [](const StepMetrics& m) { CHECK(std::isfinite(m.loss_total)); });
    CHECK(trainer.steps_done() == 2);
  }
}
