// The queue alone: order, jobs, failures, stopping. No stage here trains anything.
#include "experiment/run_queue.h"

#include <csignal>

#include "base/error.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Phase = RunStatus::Phase;
using Names = std::vector<std::string>;

std::vector<PlannedRun> planned(int64_t count) {
  std::vector<PlannedRun> runs;
  for (int64_t seed = 0; seed < count; ++seed) {
    PlannedRun run;
    run.arm = "arm";
    run.config = tiny_config();
    run.config.seed = static_cast<uint64_t>(seed);
    run.folder = "nowhere";
    run.total_steps = 10;
    runs.push_back(run);
  }
  return runs;
}

/// Stages that end after so many polls, and what was seen of them.
struct Stages {
  Names started;
  int64_t polls = 2, at_work = 0, most_at_work = 0, threads = 0;
  std::vector<int> signals;
  std::function<StageEnd(const PlannedRun&, RunStage)> end = [](const PlannedRun&, RunStage) {
    return StageEnd{};
  };

  class Stage : public StageAtWork {
   public:
    Stage(Stages& all, StageEnd end) : all_(all), end_(std::move(end)), left_(all.polls) {
      all_.most_at_work = std::max(all_.most_at_work, ++all_.at_work);
    }
    ~Stage() override { --all_.at_work; }
    std::optional<StageEnd> poll() override {
      if (stopped_) return StageEnd{StageEnd::Kind::kStopped, "", false};
      if (--left_ > 0) return std::nullopt;
      return end_;
    }
    void stop(int signal) override {
      all_.signals.push_back(signal);
      stopped_ = true;
    }

   private:
    Stages& all_;
    StageEnd end_;
    int64_t left_;
    bool stopped_ = false;
  };

  RunLauncher launcher() {
    return [this](const PlannedRun& run, RunStage stage, int64_t threads_given) {
      threads = threads_given;
      started.push_back((stage == RunStage::kTrain ? "train " : "evaluate ") +
                        std::to_string(run.config.seed));
      return std::make_unique<Stage>(*this, end(run, stage));
    };
  }
};

struct LastState : QueueObserver {
  std::vector<RunStatus> status;
  void on_end(const QueueState& state) override { status = state.status; }
};

}  // namespace

TEST_CASE("a queue trains and evaluates every run, so many at a time", "[experiment]") {
  for (const int64_t jobs : {1, 2, 3}) {
    auto runs = planned(4);
    Stages stages;
    LastState seen;
    CHECK(work_off(runs, {jobs, nullptr}, stages.launcher(), seen));
    CHECK(stages.started.size() == 8);
    CHECK(stages.most_at_work == jobs);
    for (const PlannedRun& run : runs) CHECK(run.complete());
    for (const RunStatus& status : seen.status) CHECK(status.phase == Phase::kDone);
  }
  auto runs = planned(2);
  Stages stages;
  LastState seen;
  work_off(runs, {1, nullptr}, stages.launcher(), seen);
  CHECK(stages.started == Names{"train 0", "evaluate 0", "train 1", "evaluate 1"});
}

TEST_CASE("runs start seed by seed, of a seed the longest first", "[experiment]") {
  auto runs = planned(2);  // as a plan lists them: arm by arm
  auto slow = planned(2);
  for (PlannedRun& run : runs) run.config.variant = Variant::kBaseline;
  for (PlannedRun& run : slow) {
    run.arm = "slow";
    run.config.variant = Variant::kCdsp;
    runs.push_back(run);
  }
  Names order;
  Stages stages;
  stages.end = [&](const PlannedRun& run, RunStage stage) {
    if (stage == RunStage::kTrain) order.push_back(run.name());
    return StageEnd{};
  };
  LastState seen;
  work_off(runs, {1, nullptr}, stages.launcher(), seen);
  CHECK(order == Names{"slow seed 0", "arm seed 0", "slow seed 1", "arm seed 1"});
}

TEST_CASE("what is finished is not done again", "[experiment]") {
  auto runs = planned(3);
  runs[0].state = RunState::kFinished;
  runs[0].judged = true;
  runs[1].state = RunState::kFinished;
  Stages stages;
  LastState seen;
  CHECK(work_off(runs, {1, nullptr}, stages.launcher(), seen));
  CHECK(stages.started == Names{"evaluate 1", "train 2", "evaluate 2"});
  CHECK(seen.status[0].reused);
}

TEST_CASE("a run that fails does not hold up the others", "[experiment]") {
  auto runs = planned(3);
  Stages stages;
  bool is_input_error = false;
  stages.end = [&](const PlannedRun& run, RunStage) {
    StageEnd end;
    if (run.config.seed == 1) end = {StageEnd::Kind::kFailed, "no memory", is_input_error};
    return end;
  };
  LastState seen;
  const auto work = [&] { work_off(runs, {2, nullptr}, stages.launcher(), seen); };
  const std::string message = message_of<WorkError>(work);
  CHECK_THAT(message, ContainsSubstring("1 of 3 runs failed"));
  CHECK_THAT(message, ContainsSubstring("arm seed 1: no memory"));
  CHECK(runs[0].complete());
  CHECK_FALSE(runs[1].complete());
  CHECK(runs[2].complete());
  CHECK(seen.status[1].phase == Phase::kFailed);
  is_input_error = true;
  CHECK_THAT(message_of<InputError>(work), ContainsSubstring("no memory"));
}

TEST_CASE("a signal is passed on once and nothing more is started", "[experiment]") {
  auto runs = planned(4);
  Stages stages;
  stages.polls = 1000000;
  std::atomic<int> stop{0};
  struct StopsWhenTwoWork : LastState {
    std::atomic<int>* stop = nullptr;
    void on_phase(const QueueState& state, size_t) override {
      if (state.status[1].phase == Phase::kTraining) *stop = SIGTERM;
    }
  } seen;
  seen.stop = &stop;
  CHECK_FALSE(work_off(runs, {2, &stop}, stages.launcher(), seen));
  CHECK(stages.started == Names{"train 0", "train 1"});
  CHECK(stages.signals == std::vector<int>{SIGTERM, SIGTERM});
  CHECK(seen.status[0].phase == Phase::kStopped);
  CHECK(seen.status[3].phase == Phase::kWaiting);
}

TEST_CASE("cores are shared among the runs that are left", "[experiment]") {
  const auto share = [](const std::vector<PlannedRun>& runs, int64_t jobs, int64_t cores) {
    const JobShare result = share_cores(runs, jobs, cores);
    return std::pair<int64_t, int64_t>{result.jobs, result.threads};
  };
  using Pair = std::pair<int64_t, int64_t>;
  auto runs = planned(3);
  CHECK(share(runs, 0, 2) == Pair{2, 1});
  CHECK(share(runs, 0, 8) == Pair{3, 2});
  CHECK(share(runs, 1, 8) == Pair{1, 8});
  CHECK(share(runs, 9, 2) == Pair{3, 1});
  for (PlannedRun& run : runs) run.config.train.threads = 4;
  CHECK(share(runs, 0, 8) == Pair{2, 4});
  CHECK(share(runs, 0, 2) == Pair{1, 4});
  runs[0].state = runs[1].state = RunState::kFinished;
  runs[0].judged = runs[1].judged = true;
  runs[2].config.train.threads = 0;
  CHECK(share(runs, 0, 8) == Pair{1, 8});
}
