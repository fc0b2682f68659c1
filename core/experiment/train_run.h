// One training run from config to finished folder: the trainer's steps, the evaluation after each
// epoch, every file of spec section 9, checkpoints, resuming, and a clean stop on request.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "config/config.h"
#include "data/dataset.h"
#include "eval/evaluation.h"
#include "train/step_metrics.h"

namespace cdsp {

class Trainer;

/// What an epoch came to; one row of epochs.csv.
struct EpochRecord {
  int64_t epoch = 0;  // counted from 1
  int64_t step = 0;
  EpochSums train;  // over the epoch's own steps, while learning
  Evaluation test;  // after the epoch; informed, or blind for variant `blind`
};

/// How a run shows itself while it works. The defaults show nothing.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void on_start(const Config&, const Trainer&, const std::filesystem::path& /*out*/) {}
  virtual void on_step(const Trainer&) {}
  virtual void on_log(const StepMetrics&, double /*images_per_second*/) {}
  virtual void on_evaluate(int64_t /*epoch*/) {}
  virtual void on_epoch(const EpochRecord&) {}
  virtual void on_end() {}
};

struct RunOptions {
  std::filesystem::path out;
  bool resume = false;
  /// Set to the signal's number to stop after the step at work; null = never.
  const std::atomic<int>* stop = nullptr;
};

enum class RunEnd { kFinished, kInterrupted };

/// Runs `config` into options.out. With options.resume, continues the run there (from the start if
/// it has no checkpoint yet). Throws InputError before anything is written if config, data, weights
/// or folder do not fit; throws WorkError, after recording it in run.json, if the work fails.
RunEnd train_run(const Config& config, const Dataset& data, const RunOptions& options,
                 RunObserver& observer);

/// A run that its caller takes forward piece by piece, so that one thread can have several at work
/// (experiment/run_turns.h). The references given must outlive it.
class TrainingRun {
 public:
  /// As train_run() before its first step, with what it throws then.
  TrainingRun(const Config& config, const Dataset& data, const RunOptions& options,
              RunObserver& observer);
  ~TrainingRun();
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  /// Makes up to so many steps, and the evaluations that fall due. Returns how the run ended once
  /// it has; throws as train_run(). Not to be called after either.
  std::optional<RunEnd> advance(int64_t steps);

  /// The same in turns: returns, too, before each look at numbers of the device, and after so many
  /// advance() of an evaluation (batches, on a GPU). A call made once the device has done what is
  /// enqueued for this run then finds the numbers there and waits for nothing.
  std::optional<RunEnd> take_turn(int64_t steps, int64_t evaluation_batches);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

/// The task input a variant is judged with after each epoch: informed, or blind for variant
/// `blind`.
Protocol home_protocol(const Config& config);

}  // namespace cdsp
