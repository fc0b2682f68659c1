// Works a plan off: trains what is missing, several runs side by side, then evaluates each run told
// and not told the task. How one run is trained is the launcher's affair: processes of their own in
// the program (experiment/run_process.h), the calling thread in tests.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiment/run_plan.h"

namespace cdsp {

enum class RunStage { kTrain, kEvaluate };

struct StageEnd {
  enum class Kind { kDone, kStopped, kFailed };
  Kind kind = Kind::kDone;
  std::string message;          // of a failure, one sentence
  bool is_input_error = false;  // the failure is a mistake in what the run was given
};

/// One stage of one run at work.
class StageAtWork {
 public:
  virtual ~StageAtWork() = default;
  /// Empty while it works.
  virtual std::optional<StageEnd> poll() = 0;
  /// How long the next poll() may be put off, after this one.
  virtual std::chrono::microseconds until_next_poll() const {
    return std::chrono::milliseconds(20);
  }
  /// Asks it once to end as soon as it can go on from there.
  virtual void stop(int signal) = 0;
};

/// Starts a stage with so many CPU threads.
using RunLauncher = std::function<std::unique_ptr<StageAtWork>(const PlannedRun& run,
                                                               RunStage stage, int64_t threads)>;

struct RunStatus {
  enum class Phase { kWaiting, kTraining, kEvaluating, kDone, kStopped, kFailed };
  Phase phase = Phase::kWaiting;
  bool reused = false;  // was complete before
  int64_t step = 0;
  std::optional<double> accuracy;  // of the last logged step's batch, a fraction
  std::string message;             // of a failure
};

/// What an observer is shown; `status` goes with `runs`.
struct QueueState {
  const std::vector<PlannedRun>& runs;
  std::vector<RunStatus> status;
  int64_t jobs = 1, threads = 1;       // runs side by side, threads of each
  double seconds = 0;                  // since the start
  std::optional<double> seconds_left;  // to the very end, once a run has been timed long enough
};

/// How the work shows itself. The defaults show nothing.
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void on_start(const QueueState&) {}
  /// A run changed its phase.
  virtual void on_phase(const QueueState&, size_t /*run*/) {}
  /// Some time has passed.
  virtual void on_time(const QueueState&) {}
  /// After the last run: whether it was stopped or failed shows in the phases.
  virtual void on_end(const QueueState&) {}
  /// What is done once the runs are there, as a share from 0 to 1: the same networks before their
  /// first step are evaluated, then the yardstick is trained.
  virtual void on_untrained(double /*share*/) {}
  virtual void on_yardstick(double /*share*/) {}
};

struct QueueOptions {
  int64_t jobs = 0;  // 0 = as many as suit the cores and the runs left
  const std::atomic<int>* stop = nullptr;
  /// Seconds that the caller will need once the runs are there, for the time left.
  std::function<double(const std::vector<PlannedRun>&)> seconds_after = {};
};

/// Jobs and the threads of each: with jobs = 0 a run for every core with one thread each where
/// there are as many runs to do, else the cores shared among the runs; runs whose config names its
/// threads take those; on a GPU kRunsOnOneGpu where they can take turns (run_turns.h), else one run
/// at a time.
struct JobShare {
  int64_t jobs = 1, threads = 1;
};
JobShare share_cores(const std::vector<PlannedRun>& runs, int64_t jobs, int64_t cores);

/// False if asked to stop; the runs then are in a state to go on from. A run that fails does not
/// hold up the others; after them, throws InputError if every failure was one, else WorkError,
/// naming the runs.
bool work_off(std::vector<PlannedRun>& runs, const QueueOptions& options,
              const RunLauncher& launcher, QueueObserver& observer);

}  // namespace cdsp
