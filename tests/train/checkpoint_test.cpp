// Checkpoints: continuing as if nothing had happened, and surviving what happens.
#include "train/checkpoint.h"

#include <filesystem>
#include <string>

#include <ATen/ATen.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

Config config_with_dropout(Variant variant = Variant::kCdsp) {
  Config config = tiny_config(variant);
  config.router.task_dropout = 0.4;
  config.train.epochs = 3;
  return config;
}

void take_steps(Trainer& trainer, int count) {
  for (int i = 0; i < count; ++i) {
    trainer.step();
    if (trainer.at_epoch_end()) trainer.begin_epoch();
  }
}

/// Same weights and same state, to the byte.
void check_same(const Trainer& a, const Trainer& b) {
  CHECK(same_bytes(a.network().parameters().flat(), b.network().parameters().flat()));
  const TensorFile left = a.state(), right = b.state();
  CHECK(left.metadata == right.metadata);
  REQUIRE(left.tensors.size() == right.tensors.size());
  for (const auto& [name, tensor] : left.tensors) {
    INFO(name);
    CHECK(same_bytes(tensor, right.tensors.at(name)));
  }
}

/// The newest whole checkpoint of a run, "" if it has none. (As text: a path is a range of paths.)
std::string newest_of(const fs::path& run) { return find_checkpoint(run).value_or("").string(); }

std::string last_step_of(const fs::path& checkpoint) {
  return read_safetensors(checkpoint / "model.safetensors").metadata.at("step");
}

}  // namespace

TEST_CASE("a run continued from a checkpoint equals one that was never interrupted") {
  const Dataset data = tiny_dataset();
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    // At the start, in the middle of the first and of the second epoch, and between two epochs.
    for (const int stop : {0, 2, 4, 7}) {
      INFO(to_string(variant) << ", stopped after step " << stop);
      const TemporaryFolder run;
      const Config config = config_with_dropout(variant);
      Trainer whole(config, data, at::kCPU), first(config, data, at::kCPU);
      take_steps(first, stop);
      save_checkpoint(first, run.path());
      Trainer second(config, data, at::kCPU);
      load_checkpoint(second, find_checkpoint(run.path()).value());
      check_same(second, first);
      CHECK(second.steps_done() == stop);
      CHECK(second.images_seen() == first.images_seen());
      take_steps(whole, 10);
      take_steps(second, 10 - stop);
      check_same(second, whole);
      CHECK(second.read_metrics().loss_total == whole.read_metrics().loss_total);
      CHECK(second.epoch_sums().loss == whole.epoch_sums().loss);
    }
  }
}

TEST_CASE("float32 runs continue to the byte, too") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  Config config = config_with_dropout();
  config.model.dtype = DType::kFloat32;
  Trainer whole(config, data, at::kCPU), first(config, data, at::kCPU),
      second(config, data, at::kCPU);
  take_steps(first, 5);
  save_checkpoint(first, run.path());
  load_checkpoint(second, run.path() / "checkpoints/last");
  take_steps(whole, 9);
  take_steps(second, 4);
  check_same(second, whole);
}

TEST_CASE("saving changes nothing in the run") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  Trainer quiet(config_with_dropout(), data, at::kCPU),
      saving(config_with_dropout(), data, at::kCPU);
  for (int i = 0; i < 6; ++i) {
    take_steps(quiet, 1);
    take_steps(saving, 1);
    save_checkpoint(saving, run.path());
  }
  check_same(saving, quiet);
}

TEST_CASE("a saved checkpoint is the newest, alone, and its weights are the run's") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  CHECK(newest_of(run.path()).empty());
  Trainer trainer(config_with_dropout(), data, at::kCPU);
  for (const char* step : {"1", "2", "3"}) {
    take_steps(trainer, 1);
    save_checkpoint(trainer, run.path());
    CHECK(newest_of(run.path()) == (run.path() / "checkpoints/last").string());
    CHECK(last_step_of(run.path() / "checkpoints/last") == step);
    CHECK_FALSE(fs::exists(run.path() / "checkpoints/next"));
    CHECK_FALSE(fs::exists(run.path() / "checkpoints/previous"));
  }
  const Network network(config_with_dropout(), {8, 8, 3}, at::kCPU);
  load_weights(network, run.path() / "checkpoints/last/model.safetensors");
  CHECK(same_bytes(network.parameters().flat(), trainer.network().parameters().flat()));
}

TEST_CASE("a crash at any point of saving leaves a whole checkpoint, and the next one is written") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  const fs::path folder = run.path() / "checkpoints", last = folder / "last";
  Trainer trainer(config_with_dropout(), data, at::kCPU);
  take_steps(trainer, 2);
  save_checkpoint(trainer, run.path());
  fs::path expected = last;
  SECTION("while the next one is being written") {
    run.write("checkpoints/next/model.safetensors", "half");
  }
  SECTION("after the next one was written") {
    fs::copy(last, folder / "next", fs::copy_options::recursive);
  }
  SECTION("between the two renames") {
    fs::copy(last, folder / "next", fs::copy_options::recursive);
    fs::rename(last, folder / "previous");
    expected = folder / "previous";
  }
  SECTION("after the renames, before the old one is removed") {
    fs::copy(last, folder / "previous", fs::copy_options::recursive);
  }
  SECTION("a disk that lost half of the newest") {
    fs::copy(last, folder / "previous", fs::copy_options::recursive);
    fs::remove(last / "trainer.safetensors");
    expected = folder / "previous";
  }
  REQUIRE(newest_of(run.path()) == expected.string());
  CHECK(last_step_of(expected) == "2");
  Trainer resumed(config_with_dropout(), data, at::kCPU);
  load_checkpoint(resumed, expected);
  check_same(resumed, trainer);
  take_steps(resumed, 1);
  save_checkpoint(resumed, run.path());
  CHECK(newest_of(run.path()) == last.string());
  CHECK(last_step_of(last) == "3");
  CHECK_FALSE(fs::exists(folder / "next"));
  CHECK_FALSE(fs::exists(folder / "previous"));
}

TEST_CASE("a checkpoint that cannot be written is an error at work and leaves the one before") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  run.write("checkpoints", "a file where the folder should be");
  const Trainer trainer(config_with_dropout(), data, at::kCPU);
  CHECK_THAT(message_of<WorkError>([&] { save_checkpoint(trainer, run.path()); }),
             ContainsSubstring((run.path() / "checkpoints/last").string() +
                               ": writing the checkpoint failed: "));
}

TEST_CASE("two files that are not of the same step are no checkpoint") {
  const Dataset data = tiny_dataset();
  const TemporaryFolder run;
  const fs::path last = run.path() / "checkpoints/last";
  Trainer trainer(config_with_dropout(), data, at::kCPU);
  take_steps(trainer, 1);
  save_checkpoint(trainer, run.path());
  fs::copy(last / "model.safetensors", run.path() / "old");
  take_steps(trainer, 1);
  save_checkpoint(trainer, run.path());
  fs::rename(run.path() / "old", last / "model.safetensors");
  const at::Tensor before = trainer.network().parameters().flat().clone();
  CHECK(message_of<InputError>([&] { load_checkpoint(trainer, last); }) ==
        last.string() +
            ": model.safetensors is of step 1, trainer.safetensors of step 2; they must be a pair");
  CHECK(same_bytes(trainer.network().parameters().flat(), before));
}

TEST_CASE("the state of other data, or of another network, is refused") {
  const Dataset data = tiny_dataset();
  Trainer trainer(config_with_dropout(), data, at::kCPU);
  take_steps(trainer, 2);
  const TensorFile state = trainer.state();
  const auto refusal = [&](const Config& config, const Dataset& other, const TensorFile& file) {
    Trainer target(config, other, at::kCPU);
    return message_of<InputError>([&] { target.restore(file, "state"); });
  };
  CHECK(refusal(config_with_dropout(), data, state).empty());

  TinyShape shape;
  shape.seed = 2;
  CHECK(refusal(config_with_dropout(), tiny_dataset(shape), state) ==
        "state: was written on other data (fingerprint random pixels of seed 1, the config's data "
        "has random pixels of seed 2)");

  Config wider = config_with_dropout();
  wider.moe.d_base = 40;
  CHECK(refusal(wider, data, state) ==
        "state: tensor optimizer.first_moment belongs to a network of another size");

  TensorFile broken = state;
  broken.tensors.erase("layers.1.lagged");
  CHECK(refusal(config_with_dropout(), data, broken) == "state: tensor layers.1.lagged is missing");
  broken = state;
  broken.metadata["images"] = "many";
  CHECK(refusal(config_with_dropout(), data, broken) ==
        "state: metadata images is missing or not a number");
}
