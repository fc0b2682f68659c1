#include "experiment/run_queue.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "experiment/run_turns.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Phase = RunStatus::Phase;

constexpr double kSecondsBetweenLooks = 0.5;  // at the files of the runs at work
constexpr size_t kAccuracyColumn = 8;         // of metrics.csv; the first is the step
constexpr double kCdspCost = 1.5;             // of a step, roughly, where a baseline's is 1

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The last whole row of a file, from its last bytes.
std::string last_row(const fs::path& file) {
  constexpr std::streamoff kBytes = 4096;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return "";
  stream.seekg(0, std::ios::end);
  stream.seekg(std::max<std::streamoff>(0, std::streamoff(stream.tellg()) - kBytes));
  std::ostringstream rest;
  rest << stream.rdbuf();
  std::string text = std::move(rest).str();
  text.erase(text.find_last_of('\n') == std::string::npos ? 0 : text.find_last_of('\n'));
  const size_t before = text.find_last_of('\n');
  return before == std::string::npos ? "" : text.substr(before + 1);
}

/// Step and accuracy of the last logged step.
void look_at_metrics(const fs::path& run, RunStatus& status) {
  std::istringstream row(last_row(run / "metrics.csv"));
  std::string cell;
  for (size_t column = 0; std::getline(row, cell, ','); ++column) {
    if (column == 0) {
      int64_t step = 0;
      const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), step);
      if (code != std::errc() || end != cell.data() + cell.size()) return;
      status.step = std::max(status.step, step);
    } else if (column == kAccuracyColumn) {
      double accuracy = 0;
      const auto [end, code] = std::from_chars(cell.data(), cell.data() + cell.size(), accuracy);
      if (code == std::errc() && end == cell.data() + cell.size()) status.accuracy = accuracy;
    }
  }
}

/// The order to start the runs in: seed by seed, so that what was done before a stop can be
/// compared; of a seed the longest first, so that no core waits at the end for one that began last.
std::vector<size_t> starting_order(const std::vector<PlannedRun>& runs) {
  std::vector<uint64_t> seeds;  // in the order of the plan
  std::vector<std::pair<size_t, double>> keys;
  for (const PlannedRun& run : runs) {
    auto place = std::find(seeds.begin(), seeds.end(), run.config.seed);
    if (place == seeds.end()) place = seeds.insert(seeds.end(), run.config.seed);
    const double cost = run.config.variant == Variant::kCdsp ? kCdspCost : 1.0;
    keys.emplace_back(place - seeds.begin(),
                      -cost * static_cast<double>(run.total_steps - run.steps_done));
  }
  std::vector<size_t> order(runs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  return order;
}

class Queue {
 public:
  Queue(std::vector<PlannedRun>& runs, const QueueOptions& options, const RunLauncher& launcher,
        QueueObserver& observer)
      : runs_(runs),
        options_(options),
        launcher_(launcher),
        observer_(observer),
        order_(starting_order(runs)),
        work_(runs.size()),
        state_{runs, std::vector<RunStatus>(runs.size()), 1, 1, 0.0, std::nullopt} {
    const JobShare share = share_cores(runs, options.jobs, cores_of_this_process());
    state_.jobs = share.jobs;
    state_.threads = share.threads;
    for (size_t i = 0; i < runs.size(); ++i) {
      RunStatus& status = state_.status[i];
      status.step = runs[i].steps_done;
      status.reused = runs[i].complete();
      if (status.reused) status.phase = Phase::kDone;
    }
  }

  bool execute() {
    start_ = now();
    observer_.on_start(state_);
    while (true) {
      if (stop_signal() != 0) pass_on_stop();
      const bool working = advance();
      if (!working && (stop_signal() != 0 || next_waiting() == runs_.size())) break;
      tell_time();
      rest();
    }
    state_.seconds = now() - start_;
    observer_.on_end(state_);
    report_failures();
    return stop_signal() == 0 || all_done();
  }

 private:
  struct Work {
    std::unique_ptr<StageAtWork> stage;
    double start = 0;
    int64_t first_step = 0;
    double seen_at = 0;     // when it was first seen to have made a step: it has to start, too
    int64_t seen_step = 0;  // and which
  };

  int stop_signal() const { return options_.stop == nullptr ? 0 : options_.stop->load(); }
  bool all_done() const {
    return std::all_of(state_.status.begin(), state_.status.end(),
                       [](const RunStatus& status) { return status.phase == Phase::kDone; });
  }

  size_t next_waiting() const {
    for (const size_t i : order_) {
      if (state_.status[i].phase == Phase::kWaiting) return i;
    }
    return runs_.size();
  }

  int64_t at_work() const {
    return std::count_if(work_.begin(), work_.end(),
                         [](const Work& work) { return work.stage != nullptr; });
  }

  void pass_on_stop() {
    if (stop_passed_on_) return;
    stop_passed_on_ = true;
    for (Work& work : work_) {
      if (work.stage) work.stage->stop(stop_signal());
    }
  }

  /// Ends what has ended and starts what there is room for; whether anything is at work then.
  bool advance() {
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (!work_[i].stage) continue;
      if (const auto end = work_[i].stage->poll()) end_stage(i, *end);
    }
    while (stop_signal() == 0 && at_work() < state_.jobs && next_waiting() < runs_.size()) {
      const size_t i = next_waiting();
      begin_stage(i,
                  runs_[i].state == RunState::kFinished ? RunStage::kEvaluate : RunStage::kTrain);
    }
    return at_work() > 0;
  }

  /// Until the first of the stages at work is to be looked at again.
  void rest() const {
    std::optional<std::chrono::microseconds> shortest;
    for (const Work& work : work_) {
      if (!work.stage) continue;
      const auto time = work.stage->until_next_poll();
      shortest = shortest ? std::min(*shortest, time) : time;
    }
    if (shortest && shortest->count() > 0) std::this_thread::sleep_for(*shortest);
  }

  void set_phase(size_t i, Phase phase) {
    state_.status[i].phase = phase;
    state_.seconds = now() - start_;
    observer_.on_phase(state_, i);
  }

  void begin_stage(size_t i, RunStage stage) {
    work_[i].start = now();
    work_[i].first_step = runs_[i].steps_done;
    work_[i].seen_at = 0;
    set_phase(i, stage == RunStage::kTrain ? Phase::kTraining : Phase::kEvaluating);
    work_[i].stage = launcher_(runs_[i], stage, state_.threads);
  }

  void end_stage(size_t i, const StageEnd& end) {
    const bool trained = state_.status[i].phase == Phase::kTraining;
    work_[i].stage.reset();
    if (end.kind != StageEnd::Kind::kDone) {
      state_.status[i].message = end.message;
      all_input_errors_ = all_input_errors_ && end.is_input_error;
      set_phase(i, end.kind == StageEnd::Kind::kStopped ? Phase::kStopped : Phase::kFailed);
      return;
    }
    if (!trained) {
      runs_[i].judged = true;
      evaluation_seconds_ += now() - work_[i].start;
      ++evaluations_;
      set_phase(i, Phase::kDone);
      return;
    }
    runs_[i].state = RunState::kFinished;
    runs_[i].wall_seconds += now() - work_[i].start;
    runs_[i].steps_done = state_.status[i].step = runs_[i].total_steps;
    if (stop_signal() == 0) {
      begin_stage(i, RunStage::kEvaluate);
    } else {
      set_phase(i, Phase::kStopped);
    }
  }

  void tell_time() {
    const double time = now();
    if (time - last_look_ < kSecondsBetweenLooks) return;
    last_look_ = time;
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (work_[i].stage && state_.status[i].phase == Phase::kTraining)
        look_at_metrics(runs_[i].folder, state_.status[i]);
      Work& work = work_[i];
      if (work.stage && work.seen_at == 0 && state_.status[i].step > work.first_step) {
        work.seen_at = time;
        work.seen_step = state_.status[i].step;
      }
    }
    state_.seconds = time - start_;
    state_.seconds_left = seconds_left(time);
    observer_.on_time(state_);
  }

  /// As the plan's estimate, with the steps that the runs at work have done so far.
  std::optional<double> seconds_left(double time) const {
    std::vector<PlannedRun> runs = runs_;
    for (size_t i = 0; i < runs.size(); ++i) {
      const Work& work = work_[i];
      if (!work.stage || state_.status[i].phase != Phase::kTraining || work.seen_at == 0) continue;
      const int64_t step = state_.status[i].step;
      const auto pace = pace_seen(runs[i], work.seen_step, step, time - work.seen_at);
      if (!pace) continue;
      runs[i].steps_done = step;
      runs[i].wall_seconds += *pace * static_cast<double>(step - work.first_step);
    }
    std::optional<double> evaluation;
    if (evaluations_ > 0) evaluation = evaluation_seconds_ / static_cast<double>(evaluations_);
    auto seconds = estimated_seconds(runs, state_.jobs, evaluation);
    if (seconds && options_.seconds_after) *seconds += options_.seconds_after(runs);
    return seconds;
  }

  void report_failures() const {
    std::string message;
    size_t failed = 0;
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (state_.status[i].phase != Phase::kFailed) continue;
      message += (message.empty() ? "" : "; ") + runs_[i].name() + ": " + state_.status[i].message;
      ++failed;
    }
    if (failed == 0) return;
    message = std::to_string(failed) + " of " + std::to_string(runs_.size()) +
              " runs failed, the others are kept: " + message;
    if (all_input_errors_) throw InputError(message);
    throw WorkError(message);
  }

  std::vector<PlannedRun>& runs_;
  const QueueOptions& options_;
  const RunLauncher& launcher_;
  QueueObserver& observer_;
  std::vector<size_t> order_;
  std::vector<Work> work_;
  QueueState state_;
  double start_ = 0, last_look_ = 0;
  double evaluation_seconds_ = 0;  // of so many evaluations at the end of a run
  int64_t evaluations_ = 0;
  bool stop_passed_on_ = false;
  bool all_input_errors_ = true;
};

}  // namespace

JobShare share_cores(const std::vector<PlannedRun>& runs, int64_t jobs, int64_t cores) {
  int64_t to_do = 0, threads_of_config = 0;
  bool on_gpu = false, by_turns = true;
  for (const PlannedRun& run : runs) {
    if (run.complete()) continue;
    ++to_do;
    threads_of_config = std::max(threads_of_config, run.config.train.threads);
    on_gpu = on_gpu || !resolve_device(run.config.train.device).is_cpu();
    by_turns = by_turns && can_take_turns(run.config);
  }
  JobShare share;
  const int64_t on_cores = cores / std::max<int64_t>(1, std::min(threads_of_config, cores));
  const int64_t side_by_side = !on_gpu ? on_cores : by_turns ? kRunsOnOneGpu : 1;
  share.jobs = std::max<int64_t>(1, std::min(jobs == 0 ? side_by_side : jobs, to_do));
  share.threads =
      threads_of_config > 0 ? threads_of_config : std::max<int64_t>(1, cores / share.jobs);
  return share;
}

bool work_off(std::vector<PlannedRun>& runs, const QueueOptions& options,
              const RunLauncher& launcher, QueueObserver& observer) {
  return Queue(runs, options, launcher, observer).execute();
}

}  // namespace cdsp
