// Runs that take turns in one thread end with the files that each has alone.
#include "experiment/run_turns.h"

#include <csignal>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "config/config.h"
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

void check_files_are_those_of_runs_alone(const std::string& device) {
  const TemporaryFolder folder;
  auto together = three_runs(folder.path() / "together", device);
  LastState seen;
  REQUIRE(work_off(together, {3, nullptr}, launch_in_turns(), seen));
  for (const PlannedRun& run : three_runs(folder.path() / "alone", device)) {
    RunObserver observer;
    train_run(run.config, load_dataset(run.config), {run.folder, false, nullptr}, observer);
    const fs::path other = folder.path() / "together" / run.folder.filename();
    INFO(run.name());
    CHECK(fs::exists(other / "blind_eval" / "blind_eval.json"));
    fs::remove_all(other / "blind_eval");
    const auto expected = files_without_clock(run.folder), found = files_without_clock(other);
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      INFO(expected[i].first);
      CHECK(found[i].first == expected[i].first);
      CHECK(found[i].second == expected[i].second);
    }
  }
}

}  // namespace

TEST_CASE("runs that take turns have the numbers that each has alone", "[experiment]") {
  check_files_are_those_of_runs_alone("cpu");
}

TEST_CASE("on a GPU runs on streams of their own have the numbers that each has alone",
          "[experiment]") {
  if (!has_gpu_and_kernels()) return;
  check_files_are_those_of_runs_alone("cuda:0");
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
