// A run as a whole: its files, stopping at any moment, failing, going on.
#include "experiment/train_run.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/fingerprint.h"
#include "experiment/run_directory.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_run.h"
#include "support/tiny_setup.h"
#include "train/checkpoint.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

/// Calls a function at every step and before every evaluation.
class Watcher : public RunObserver {
 public:
  std::function<void(int64_t step)> step = [](int64_t) {};
  std::function<void(const Trainer& trainer)> trained = [](const Trainer&) {};
  std::function<void(int64_t epoch)> evaluation = [](int64_t) {};
  std::vector<std::vector<double>> task_counts;  // of every logged step

  void on_step(const Trainer& trainer) override {
    trained(trainer);
    step(trainer.steps_done());
  }
  void on_log(const StepMetrics& metrics, double) override {
    task_counts.push_back(metrics.task_count);
  }
  void on_evaluate(int64_t epoch) override { evaluation(epoch); }
};

Config logged_config(Variant variant) {
  Config config = tiny_config(variant);  // 13 images in batches of 4: 4 steps an epoch, 8 in all
  config.train.log_every = 1;
  config.router.task_dropout = 0.3;
  return config;
}

std::string status_of(const fs::path& run) {
  return nlohmann::json::parse(read_file(run / "run.json")).at("status");
}

/// Trains from the start or goes on; asks to stop when `arm` has the watcher do so.
RunEnd train(const Config& config, const fs::path& out, bool resume,
             const std::function<void(Watcher&, std::atomic<int>&)>& arm = {}) {
  static const Dataset data = tiny_dataset();
  std::atomic<int> stop{0};
  Watcher watcher;
  if (arm) arm(watcher, stop);
  return train_run(config, data, {out, resume, &stop}, watcher);
}

}  // namespace

TEST_CASE("a run stopped at any moment and resumed equals one that was not", "[experiment]") {
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline);
  const Config config = logged_config(variant);
  const TemporaryFolder folder;
  const fs::path straight = folder.path() / "straight";
  REQUIRE(train(config, straight, false) == RunEnd::kFinished);
  const auto wanted = files_without_clock(straight);

  SECTION("before the first step") {
    const auto at_once = [](Watcher&, std::atomic<int>& stop) { stop = 2; };
    CHECK(train(config, folder.path() / "run", false, at_once) == RunEnd::kInterrupted);
    CHECK(train(config, folder.path() / "run", true) == RunEnd::kFinished);
    CHECK(files_without_clock(folder.path() / "run") == wanted);
  }
  SECTION("after a step") {
    for (int64_t last = 1; last <= 8; ++last) {
      CAPTURE(last);
      const fs::path run = folder.path() / ("step " + std::to_string(last));
      const auto at_step = [last](Watcher& watcher, std::atomic<int>& stop) {
        watcher.step = [last, &stop](int64_t step) { stop = step == last ? 2 : 0; };
      };
      CHECK(train(config, run, false, at_step) == RunEnd::kInterrupted);
      CHECK(status_of(run) == "interrupted");
      CHECK(train(config, run, true) == RunEnd::kFinished);
      CHECK(files_without_clock(run) == wanted);
    }
  }
  SECTION("in an evaluation") {
    for (int64_t last = 1; last <= 2; ++last) {
      CAPTURE(last);
      const fs::path run = folder.path() / ("epoch " + std::to_string(last));
      const auto in_epoch = [last](Watcher& watcher, std::atomic<int>& stop) {
        watcher.evaluation = [last, &stop](int64_t epoch) { stop = epoch == last ? 2 : 0; };
      };
      CHECK(train(config, run, false, in_epoch) == RunEnd::kInterrupted);
      CHECK(train(config, run, true) == RunEnd::kFinished);
      CHECK(files_without_clock(run) == wanted);
    }
  }
  SECTION("twice, and every session only once asked") {
    const fs::path run = folder.path() / "run";
    for (int session = 0; session < 12; ++session) {
      const auto after_one_step = [](Watcher& watcher, std::atomic<int>& stop) {
        watcher.step = [&stop](int64_t) { stop = 15; };
      };
      if (train(config, run, session > 0, after_one_step) == RunEnd::kFinished) break;
    }
    CHECK(status_of(run) == "finished");
    CHECK(files_without_clock(run) == wanted);
  }
}

TEST_CASE("a run that failed goes on from its last checkpoint", "[experiment]") {
  const Config config = logged_config(Variant::kCdsp);
  const TemporaryFolder folder;
  const fs::path straight = folder.path() / "straight", run = folder.path() / "run";
  REQUIRE(train(config, straight, false) == RunEnd::kFinished);
  const auto breaks_down = [](Watcher& watcher, std::atomic<int>&) {
    watcher.step = [](int64_t step) {
      if (step == 7) throw WorkError("the device is lost");
    };
  };
  CHECK(message_of<WorkError>([&] { train(config, run, false, breaks_down); }) ==
        "the device is lost; the checkpoint of step 4 is kept");
  CHECK(status_of(run) == "failed");
  CHECK(train(config, run, true) == RunEnd::kFinished);
  CHECK(status_of(run) == "finished");
  CHECK(files_without_clock(run) == files_without_clock(straight));
}

TEST_CASE("a finished run that is resumed stays as it is", "[experiment]") {
  const Config config = logged_config(Variant::kBlind);
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  REQUIRE(train(config, run, false) == RunEnd::kFinished);
  const auto before = files_without_clock(run);
  CHECK(train(config, run, true) == RunEnd::kFinished);
  CHECK(files_without_clock(run) == before);
}

TEST_CASE("going on removes a blind evaluation of the old weights", "[experiment]") {
  const Config config = logged_config(Variant::kCdsp);
  const TemporaryFolder folder;
  const auto at_step = [](Watcher& watcher, std::atomic<int>& stop) {
    watcher.step = [&stop](int64_t step) { stop = step == 5 ? 2 : 0; };
  };
  REQUIRE(train(config, folder.path() / "run", false, at_step) == RunEnd::kInterrupted);
  const fs::path judged = folder.write("run/blind_eval/blind_eval.json", "{}");
  REQUIRE(train(config, folder.path() / "run", true) == RunEnd::kFinished);
  CHECK_FALSE(fs::exists(judged));
}

TEST_CASE("weights that are not finite stop the run at its first step", "[experiment]") {
  const Dataset data = tiny_dataset();
  Config config = logged_config(Variant::kCdsp);
  const TemporaryFolder folder;
  const Network network(config, input_shape_of({}), at::kCPU);
  TensorFile weights = weights_of(network);
  at::Tensor& head = weights.tensors.at("head.weight");
  head = head.detach().clone();
  head.view({-1})[0] = std::numeric_limits<double>::infinity();
  config.train.init_from = folder.path() / "weights.safetensors";
  write_safetensors(*config.train.init_from, weights);

  const fs::path run = folder.path() / "run";
  const std::string message = message_of<WorkError>([&] { train(config, run, false); });
  CHECK_THAT(message, ContainsSubstring("step 1: "));
  CHECK_THAT(message, ContainsSubstring("loss_task is not finite"));
  CHECK_THAT(message, ContainsSubstring("head.weight inf"));
  CHECK(status_of(run) == "failed");
  CHECK_FALSE(fs::exists(run / "checkpoints"));
}

TEST_CASE("task dropout and logging do not touch the order of the data", "[experiment]") {
  const TemporaryFolder folder;
  const auto counts_with = [&](double dropout, int64_t log_every) {
    Config config = logged_config(Variant::kCdsp);
    config.router.task_dropout = dropout;
    config.train.log_every = log_every;
    config.train.epochs = 3;
    const Dataset data = tiny_dataset();
    Watcher watcher;
    const TemporaryFolder out;
    train_run(config, data, {out.path() / "run", false, nullptr}, watcher);
    return watcher.task_counts;
  };
  const auto counts = counts_with(0.0, 1);
  REQUIRE(counts.size() == 12);
  CHECK(counts_with(0.9, 1) == counts);
  const auto seldom = counts_with(0.9, 5);
  CHECK(seldom == std::vector<std::vector<double>>{counts[4], counts[9], counts[11]});
}

TEST_CASE("task dropout means nothing to a variant that never sees a task", "[experiment]") {
  Config config = logged_config(Variant::kBlind);
  const TemporaryFolder folder;
  train(config, folder.path() / "some", false);
  config.router.task_dropout = 0.0;
  train(config, folder.path() / "none", false);
  CHECK(read_file(folder.path() / "some" / "metrics.csv") ==
        read_file(folder.path() / "none" / "metrics.csv"));
}

TEST_CASE("what does not fit is found before the folder is touched", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  Config config = logged_config(Variant::kCdsp);
  config.train.init_from = folder.path() / "none.safetensors";
  CHECK_THAT(message_of<InputError>([&] { train(config, run, false); }),
             ContainsSubstring("none.safetensors"));
  CHECK_FALSE(fs::exists(run));
}

TEST_CASE("a run that blows up keeps nothing that is not finite", "[experiment]") {
  const double rate = GENERATE(1e2, 1e4, 3e4, 1e9);
  CAPTURE(rate);
  Config config = logged_config(Variant::kCdsp);
  config.optimizer.lr = rate;
  config.optimizer.clip_norm = 0.0;
  config.train.epochs = 10;
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  const std::string message = message_of<WorkError>([&] { train(config, run, false); });
  CHECK(status_of(run) == (message.empty() ? "finished" : "failed"));
  const auto checkpoint = find_checkpoint(run);
  if (!message.empty()) {
    CHECK_THAT(message, ContainsSubstring("not finite"));
    CHECK_THAT(message,
               ContainsSubstring(checkpoint ? "the checkpoint of step " : "no checkpoint yet"));
  }
  if (checkpoint) {
    for (const auto& [name, tensor] : read_safetensors(*checkpoint / "model.safetensors").tensors) {
      CAPTURE(name);
      CHECK(at::isfinite(tensor).all().item<bool>());
    }
  }
  CHECK(read_file(run / "epochs.csv").find("nan") == std::string::npos);
}

TEST_CASE("weights that an update spoilt are no checkpoint and no finished run", "[experiment]") {
  const Config config = logged_config(Variant::kCdsp);  // epochs end at steps 4 and 8
  const int64_t spoilt = GENERATE(4, 8);
  const auto spoils = [&](Watcher& watcher, std::atomic<int>&) {
    watcher.trained = [&](const Trainer& trainer) {
      if (trainer.steps_done() != spoilt) return;
      at::NoGradGuard no_grad;
      trainer.network().parameters().flat().narrow(0, 0, 1).fill_(
          std::numeric_limits<double>::infinity());
    };
  };
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  CHECK_THAT(message_of<WorkError>([&] { train(config, run, false, spoils); }),
             ContainsSubstring("step " + std::to_string(spoilt) + ": ") &&
                 ContainsSubstring("not finite") &&
                 ContainsSubstring(spoilt == 4 ? "no checkpoint yet"
                                               : "the checkpoint of step 4 is kept"));
  CHECK(status_of(run) == "failed");
  CHECK_FALSE(fs::exists(run / "summary.json"));
  CHECK(find_checkpoint(run).has_value() == (spoilt == 8));
}

TEST_CASE("a run whose checkpoint is gone does not begin again", "[experiment]") {
  const Config config = logged_config(Variant::kCdsp);
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  const bool finished = GENERATE(true, false);
  const auto stops = [&](Watcher& watcher, std::atomic<int>& stop) {
    watcher.step = [&](int64_t step) { stop = !finished && step == 3; };
  };
  train(config, run, false, stops);
  CHECK(nlohmann::json::parse(read_file(run / "run.json")).at("checkpoint_step") ==
        (finished ? 8 : 3));
  fs::remove_all(run / "checkpoints" / "last" /
                 GENERATE("trainer.safetensors", "model.safetensors", ""));
  const std::string metrics = read_file(run / "metrics.csv");
  CHECK_THAT(message_of<InputError>([&] { train(config, run, true); }),
             ContainsSubstring("checkpoints/last: model.safetensors and trainer.safetensors are") &&
                 ContainsSubstring(finished ? "after step 8" : "after step 3"));
  CHECK(read_file(run / "metrics.csv") == metrics);
  CHECK(status_of(run) == (finished ? "finished" : "interrupted"));
}

TEST_CASE("run.json keeps the sums of the files a run began from", "[experiment]") {
  const TemporaryFolder folder;
  Config config = logged_config(Variant::kCdsp);
  config.train.init_from = folder.path() / "weights.safetensors";
  write_safetensors(*config.train.init_from,
                    weights_of(Network(config, input_shape_of({}), at::kCPU)));
  const fs::path run = folder.path() / "run";
  train(config, run, false, [](Watcher& watcher, std::atomic<int>& stop) {
    watcher.step = [&](int64_t) { stop = 1; };
  });
  const auto sums = read_run_record(run)->input_files;
  CHECK(sums == input_fingerprints(config));
  const std::string data = tiny_dataset().fingerprint;
  CHECK_NOTHROW(inspect_run(run, config, data));
  // Another run may have gone on writing where this one began from: no matter to its own way on.
  write_file_atomically(*config.train.init_from, "other weights");
  CHECK_THAT(message_of<InputError>([&] { inspect_run(run, config, data); }),
             ContainsSubstring("another content of train.init_from"));
  CHECK_NOTHROW(require_resumable(run, config, data));
  Config other = config;
  other.seed += 1;
  CHECK_THAT(message_of<InputError>([&] { require_resumable(run, other, data); }),
             ContainsSubstring("with seed: "));
  fs::remove(*config.train.init_from);
  CHECK(train(config, run, true) == RunEnd::kFinished);
  CHECK(read_run_record(run)->input_files == sums);
}
