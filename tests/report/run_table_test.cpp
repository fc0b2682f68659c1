// A queue as it is planned and while it works, and the tables of an ablation.
#include "report/run_table.h"

#include <nlohmann/json.hpp>

#include "report/ablation_table.h"
#include "report/queue_progress.h"
#include "support/catch.h"
#include "support/tiny_setup.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Phase = RunStatus::Phase;

/// Two arms with two seeds each: done before, half trained, not begun, not begun.
std::vector<PlannedRun> some_runs() {
  std::vector<PlannedRun> runs;
  for (const char* arm : {"baseline", "cdsp"}) {
    for (const uint64_t seed : {3, 5}) {
      PlannedRun run;
      run.arm = arm;
      run.config = tiny_config();
      run.config.seed = seed;
      run.folder = std::string("out/") + arm + "/seed_" + std::to_string(seed);
      run.total_steps = 200;
      runs.push_back(run);
    }
  }
  runs[0].state = RunState::kFinished;
  runs[0].judged = true;
  runs[0].steps_done = 200;
  runs[1].state = RunState::kUnfinished;
  runs[1].steps_done = 100;
  return runs;
}

/// A clock and a terminal for the test.
struct Screen {
  std::string text;
  double seconds = 0;
  int64_t width = 80;
  Terminal terminal;

  ProgressOutput output() {
    ProgressOutput output;
    output.write = [this](const std::string& more) { text += more; };
    output.width = [this] { return width; };
    output.seconds = [this] { return seconds; };
    output.terminal = terminal;
    return output;
  }
  std::string take() { return std::exchange(text, ""); }
};

QueueState state_of(const std::vector<PlannedRun>& runs) {
  QueueState state{runs, std::vector<RunStatus>(runs.size()), 2, 1, 0.0, std::nullopt};
  state.status[0].phase = Phase::kDone;
  state.status[0].reused = true;
  state.status[1].phase = Phase::kTraining;
  state.status[1].step = 150;
  state.status[1].accuracy = 0.915;
  state.seconds = 65;
  return state;
}

}  // namespace

TEST_CASE("a plan as a table", "[report]") {
  RunPlan plan;
  plan.runs = some_runs();
  const std::string untimed = plan_text(plan, {2, 1});
  CHECK_THAT(untimed,
             ContainsSubstring("4 runs: 2 to train, 1 to continue, 1 to reuse, 2 side by"));
  CHECK(untimed.find("about") == std::string::npos);
  plan.runs[0].wall_seconds = 100;  // half a second a step
  const std::string timed = plan_text(plan, {2, 1});
  CHECK_THAT(timed, ContainsSubstring("baseline seed 5  continue"));
  CHECK_THAT(timed, ContainsSubstring("out/cdsp/seed_5"));
  const auto json = plan_json(plan, {2, 1});
  CHECK(json.at("runs")[1].at("action") == "continue");
  CHECK(json.at("estimated_seconds").is_number());
  for (PlannedRun& run : plan.runs) {
    run.state = RunState::kFinished;
    run.judged = true;
  }
  CHECK_THAT(plan_text(plan, {1, 2}), ContainsSubstring("4 runs: 4 to reuse\n"));
}

TEST_CASE("a queue at work, as lines", "[report]") {
  Screen screen;
  QueueProgress progress(screen.output());
  const auto runs = some_runs();
  QueueState state = state_of(runs);
  progress.on_start(state);
  std::string text = screen.take();
  CHECK_THAT(text, ContainsSubstring("baseline seed 3: finished before, taken from out/baseline"));
  CHECK_THAT(text, ContainsSubstring("4 runs, 1 of them finished before; 2 side by side"));
  progress.on_phase(state, 1);
  CHECK_THAT(screen.take(), ContainsSubstring("going on after step 150"));
  screen.seconds = 5;
  progress.on_time(state);
  CHECK(screen.take().empty());
  screen.seconds = 11;
  state.seconds_left = 130;
  progress.on_time(state);
  CHECK(screen.take() ==
        "1 of 4 runs done, 1:05 gone, ETA 2:10; baseline seed 5 75%, accuracy 91.5 %\n");
  state.status[1].phase = Phase::kFailed;
  state.status[1].message = "no memory";
  progress.on_phase(state, 1);
  CHECK(screen.take() == "baseline seed 5: failed: no memory\n");
  progress.on_yardstick(0.1);
  progress.on_yardstick(0.2);
  CHECK(screen.take() == "linear softmax on pixels, the yardstick\n");
}

TEST_CASE("a queue at work, as a table that is drawn again", "[report]") {
  Screen screen;
  screen.terminal.can_redraw = true;
  QueueProgress progress(screen.output());
  const auto runs = some_runs();
  QueueState state = state_of(runs);
  progress.on_time(state);
  CHECK(screen.take() ==
        "seed         3     5\n"
        "baseline   had   75%\n"
        "cdsp         .     .\n"
        "baseline seed 5 ###############..... step 150/200, accuracy 91.5 %\n"
        "1 of 4 runs done, 1:05 gone\n");
  state.status[1].phase = Phase::kEvaluating;
  progress.on_phase(state, 1);
  const std::string again = screen.take();
  CHECK(again.rfind("\x1b[5A\r\x1b[J", 0) == 0);  // over the five lines of before
  CHECK_THAT(again, ContainsSubstring("eval"));
  // Where the seeds have no room, they are counted.
  screen.width = 20;
  progress.on_time(state);
  CHECK_THAT(screen.take(), ContainsSubstring("1 of 2 do"));
  progress.on_end(state);
  screen.take();
  progress.on_yardstick(0.5);
  CHECK(screen.take() == "linear softmax on pixels, the yardstick: 50 %\n");
  progress.on_yardstick(1.0);
  CHECK(screen.take() == "\x1b[1A\r\x1b[J");
}

TEST_CASE("an ablation's table and bars", "[report]") {
  Ablation ablation;
  ablation.study.key = "conflict.lambda";
  ablation.study.config = "cdsp.yaml";
  ablation.study.values = {"0", "10"};
  ablation.seeds = {0, 1};
  ablation.base = "10";
  ablation.notes = {"Something to know."};
  for (const std::string& value : ablation.study.values) {
    for (const uint64_t seed : ablation.seeds) {
      ComparedRun run;
      run.arm = ablation.arm(value);
      run.seed = seed;
      run.measures.set("test_accuracy", value == "0" ? 0.4 : 0.8);
      run.measures.set("separation_index", value == "0" ? -0.1 : 0.2);
      ablation.runs.push_back(run);
    }
  }
  const std::string text = ablation_text(ablation, {});
  CHECK_THAT(text, ContainsSubstring("cdsp.yaml, conflict.lambda at 2 values; seeds 0, 1"));
  CHECK_THAT(text, ContainsSubstring("  0  " + std::string(20, '#') + " 40.00 ± 0.00\n"));
  CHECK_THAT(text, ContainsSubstring("  10 " + std::string(40, '#') + " 80.00 ± 0.00\n"));
  // Bars below 0 go to the left of an axis, on the scale of those above.
  CHECK_THAT(text, ContainsSubstring("  0  " + std::string(13, '#') + "| -0.100 ± 0.000\n"));
  CHECK_THAT(text, ContainsSubstring("  10 " + std::string(13, ' ') + "|" + std::string(27, '#') +
                                     " 0.200 ± 0.000\n"));
  // Each value against the base, seed by seed.
  CHECK_THAT(text, ContainsSubstring("Each value less conflict.lambda = 10 at the same seeds"));
  CHECK_THAT(text, ContainsSubstring("-0.300 ± 0.000"));
  CHECK_THAT(text, ContainsSubstring("[-40.00, -40.00]"));
  CHECK_THAT(text, ContainsSubstring("warning: Something to know.\n"));
  CHECK(text.find("alpha sparsity") == std::string::npos);  // not measured
  CHECK(text.find("nan") == std::string::npos);
  const std::string page = ablation_markdown(ablation);
  CHECK_THAT(page, ContainsSubstring("# Ablation of conflict.lambda"));
  CHECK_THAT(page, ContainsSubstring("| 10 |"));
  CHECK_THAT(page, ContainsSubstring("**Warning:** Something to know."));
}
