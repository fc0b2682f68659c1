// Runs that take turns in one thread end with the files that each has alone.
#include "experiment/run_turns.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "config/config.h"
#include "experiment/blind_eval.h"
#include "experiment/train_run.h"
#include "support/catch.h"
#include "support/gpu.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_run.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Phase = RunStatus::Phase;
namespace fs = std::filesystem;

constexpr int kEpochs = 6;  // of 15 steps: more than one turn

/// Two seeds of CDSP and one of the baseline, on a device.
std::vector<PlannedRun> three_runs(const fs::path& folder, const std::string& device) {
  std::vector<PlannedRun> runs;
  for (const auto& [variant, seed] :
       {std::pair<const char*, uint64_t>{"cdsp", 0}, {"cdsp", 1}, {"baseline", 0}}) {
    PlannedRun run;
    run.arm = variant;
    run.config = parse_config(tiny_yaml(variant, kEpochs), "run.yaml");
    run.config.seed = seed;
    run.config.train.device = device;
    // As on a GPU, an evaluation goes batch by batch: of 60 it takes some turns.
    run.config.train.engine = device == "cpu" ? EngineChoice::kReference : EngineChoice::kAuto;
    run.config.train.eval_batch_size = 1;
    run.folder = folder / (run.arm + std::to_string(seed));
    run.total_steps = kEpochs * 15;
    runs.push_back(run);
  }
  return runs;
}

struct LastState : QueueObserver {
  std::vector<RunStatus> status;
  void on_end(const QueueState& state) override { status = state.status; }
};

using MakeRuns = std::function<std::vector<PlannedRun>(const fs::path&)>;

void check_files_are_those_of_runs_alone(const MakeRuns& make) {
  const TemporaryFolder folder;
  auto together = make(folder.path() / "together");
  LastState seen;
  REQUIRE(work_off(together, {static_cast<int64_t>(together.size()), nullptr}, launch_in_turns(),
                   seen));
  for (const PlannedRun& run : make(folder.path() / "alone")) {
    RunObserver observer;
    train_run(run.config, load_dataset(run.config), {run.folder, false, nullptr}, observer);
    const TrainedModel model = model_of_run(run.folder);
    const Dataset data = load_dataset(run.config);
    write_blind_eval(
        run.folder, model, data,
        blind_evaluate(model, data, {{Protocol::Kind::kInformed, 0}, {Protocol::Kind::kBlind, 0}}));
    const fs::path other = folder.path() / "together" / run.folder.filename();
    INFO(run.name());
    REQUIRE(fs::exists(other / "blind_eval" / "blind_eval.json"));
    const auto expected = files_without_clock(run.folder), found = files_without_clock(other);
    REQUIRE(found.size() == expected.size());
    if (run.config.train.device != "cpu") {  // and not two times call by call
      std::ifstream file(other / "run.json");
      CHECK(nlohmann::json::parse(file).at("step") == "graph");
    }
    for (size_t i = 0; i < found.size(); ++i) {
      INFO(expected[i].first);
      CHECK(found[i].first == expected[i].first);
      CHECK(found[i].second == expected[i].second);
    }
  }
}

}  // namespace

TEST_CASE("runs that take turns have the numbers that each has alone", "[experiment]") {
  check_files_are_those_of_runs_alone([](const fs::path& at) { return three_runs(at, "cpu"); });
}

TEST_CASE("runs whose log is seldom due take turns, too", "[experiment]") {
  check_files_are_those_of_runs_alone([](const fs::path& at) {
    auto runs = three_runs(at, "cpu");
    for (PlannedRun& run : runs) run.config.train.log_every = 1000;  // the last step's row alone
    return runs;
  });
}

TEST_CASE("a turn ends before it looks at numbers, and the next one looks first", "[experiment]") {
  const TemporaryFolder folder;
  const PlannedRun plan = three_runs(folder.path(), "cpu")[0];
  Config config = plan.config;
  config.train.log_every = 4;
  const Dataset data = load_dataset(config);
  struct Seen : RunObserver {
    int64_t steps = 0, rows = 0, evaluations = 0, epochs = 0;
    void on_step(const Trainer&) override { ++steps; }
    void on_log(const StepMetrics&, double) override { ++rows; }
    void on_evaluate(int64_t) override { ++evaluations; }
    void on_epoch(const EpochRecord&) override { ++epochs; }
  } seen;
  config.train.eval_batch_size = 30;  // two batches of test images
  TrainingRun run(config, data, {plan.folder, false, nullptr}, seen);
  const auto turn = [&](int64_t steps) { CHECK_FALSE(run.take_turn(steps, 1)); };
  turn(3);
  CHECK((seen.steps == 3 && seen.rows == 0));
  turn(3);  // cut short by the row that is due after step 4
  CHECK((seen.steps == 4 && seen.rows == 0));
  turn(3);
  CHECK((seen.steps == 7 && seen.rows == 1));
  turn(64);
  turn(64);
  turn(64);  // to the end of the epoch of 15 steps
  CHECK((seen.steps == 15 && seen.rows == 3 && seen.evaluations == 0));
  turn(64);
  CHECK((seen.evaluations == 1 && seen.epochs == 0));  // one batch of two
  turn(64);  // all is enqueued: the results are left to the next turn
  CHECK((seen.steps == 15 && seen.epochs == 0));
  turn(1);
  CHECK((seen.steps == 16 && seen.epochs == 1));
}

TEST_CASE("an evaluation stopped between two turns is made anew on resuming", "[experiment]") {
  const TemporaryFolder folder;
  const PlannedRun plan = three_runs(folder.path() / "cut", "cpu")[0];
  const Dataset data = load_dataset(plan.config);
  struct Seen : RunObserver {
    int64_t evaluations = 0, epochs = 0;
    void on_evaluate(int64_t) override { ++evaluations; }
    void on_epoch(const EpochRecord&) override { ++epochs; }
  } seen;
  std::atomic<int> stop{0};
  {
    TrainingRun run(plan.config, data, {plan.folder, false, &stop}, seen);
    while (seen.evaluations < 1) REQUIRE_FALSE(run.take_turn(64, 2));
    REQUIRE_FALSE(run.take_turn(64, 2));
    CHECK(seen.epochs == 0);
    stop = SIGTERM;
    CHECK(run.take_turn(64, 2) == RunEnd::kInterrupted);
    CHECK(seen.epochs == 0);
  }
  CHECK(train_run(plan.config, data, {plan.folder, true, nullptr}, seen) == RunEnd::kFinished);
  const PlannedRun straight = three_runs(folder.path() / "straight", "cpu")[0];
  train_run(straight.config, data, {straight.folder, false, nullptr}, seen);
  CHECK(files_without_clock(plan.folder) == files_without_clock(straight.folder));
}

TEST_CASE("runs at work in turns are looked at again at once, waiting ones soon", "[experiment]") {
  const TemporaryFolder folder;
  const PlannedRun plan = three_runs(folder.path(), "cpu")[0];
  const auto stage = launch_in_turns()(plan, RunStage::kTrain, 1);
  CHECK(stage->until_next_poll() < std::chrono::milliseconds(1));
  CHECK_FALSE(stage->poll());
  CHECK(stage->until_next_poll() == std::chrono::microseconds(0));
}

TEST_CASE("on a GPU runs on streams of their own have the numbers that each has alone",
          "[experiment]") {
  if (!has_gpu_and_kernels()) return;
  // Twenty runs have two graphs each, more than LibTorch has streams; their log is never due, so
  // that all are at work at once. Width 64 has products that cuBLAS splits over its workspace. A
  // pretend GPU is given less to do.
  const uint64_t count = is_pretend_gpu() ? 4 : 20;
  const int64_t images_of_task = is_pretend_gpu() ? 100 : 500;
  check_files_are_those_of_runs_alone([&](const fs::path& at) {
    std::vector<PlannedRun> runs;
    for (uint64_t seed = 0; seed < count; ++seed) {
      PlannedRun run = three_runs(at, "cuda:0")[seed % 3];
      run.config.seed = seed;
      run.config.model.d_model = 64;
      run.config.moe.d_base = 256;
      run.config.data.glyphs_train = images_of_task;
      run.config.train.batch_size = 128;  // the last batch of an epoch is smaller
      run.config.train.log_every = 1000;
      run.total_steps = kEpochs * ((3 * images_of_task + 127) / 128);
      run.folder = at / ("run" + std::to_string(seed));
      runs.push_back(run);
    }
    return runs;
  });
}

TEST_CASE("a run that takes turns stops with a checkpoint and goes on from it", "[experiment]") {
  const TemporaryFolder folder;
  const RunLauncher launcher = launch_in_turns();
  PlannedRun run = three_runs(folder.path() / "cut", "cpu")[0];
  const auto to_the_end = [&] {
    const auto stage = launcher(run, RunStage::kTrain, 1);
    while (true) {
      if (const auto end = stage->poll()) return end->kind;
    }
  };
  {
    const auto stage = launcher(run, RunStage::kTrain, 1);
    CHECK_FALSE(stage->poll());  // one turn of several
    stage->stop(SIGTERM);
    const auto end = stage->poll();
    REQUIRE(end);
    CHECK(end->kind == StageEnd::Kind::kStopped);
    CHECK(line_count(run.folder / "metrics.csv") < 90);
  }
  run.state = RunState::kUnfinished;
  CHECK(to_the_end() == StageEnd::Kind::kDone);
  const fs::path cut = run.folder;
  run = three_runs(folder.path() / "straight", "cpu")[0];
  CHECK(to_the_end() == StageEnd::Kind::kDone);
  CHECK(files_without_clock(cut) == files_without_clock(run.folder));
}

TEST_CASE("a run that fails in its turn is told, and the others go on", "[experiment]") {
  const TemporaryFolder folder;
  auto runs = three_runs(folder.path(), "cpu");
  runs[0].config.train.init_from = folder.path() / "nothing.safetensors";
  LastState seen;
  const std::string message = message_of<InputError>([&] {
    work_off(runs, {3, nullptr}, launch_in_turns(), seen);
  });
  CHECK_THAT(message, ContainsSubstring("cdsp seed 0"));
  CHECK_THAT(message, ContainsSubstring("nothing.safetensors"));
  CHECK(seen.status[0].phase == Phase::kFailed);
  CHECK(runs[1].complete());
  CHECK(runs[2].complete());
}

TEST_CASE("a run on the host takes no turns: its cores serve processes better", "[experiment]") {
  const auto runs = three_runs("nowhere", "cpu");
  CHECK_FALSE(can_take_turns(runs[0].config));
  std::vector<std::string> started;
  const RunLauncher launcher = launch_on_devices(
      [&](const PlannedRun& run, RunStage, int64_t) -> std::unique_ptr<StageAtWork> {
        started.push_back(run.name());
        return nullptr;
      });
  launcher(runs[2], RunStage::kTrain, 1);
  CHECK(started == std::vector<std::string>{"baseline seed 0"});
}
