#include "experiment/train_run.h"

#include <chrono>
#include <cmath>

#include "base/atomic_file.h"
#include "base/csv.h"
#include "base/error.h"
#include "eval/evaluate.h"
#include "experiment/fingerprint.h"
#include "experiment/run_directory.h"
#include "experiment/run_files.h"
#include "train/checkpoint.h"
#include "train/runtime.h"
#include "train/trainer.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The checkpoint to go on from; none before the first. To begin again where there was one would
/// throw away what the run has.
std::optional<fs::path> checkpoint_to_continue(const fs::path& run) {
  if (auto checkpoint = find_checkpoint(run)) return checkpoint;
  const auto record = read_run_record(run);
  if (!record || (!record->checkpoint_step && record->status != "finished")) return std::nullopt;
  throw InputError((run / "checkpoints" / "last").string() +
                   ": model.safetensors and trainer.safetensors are needed to go on, and the run "
                   "had them after step " +
                   std::to_string(record->checkpoint_step.value_or(record->steps)) +
                   "; put them back, or train anew into another --out");
}

}  // namespace

/// A run at work: the trainer, its folder and its growing tables.
class TrainingRun::Work {
 public:
  Work(const Config& config, const Dataset& data, const RunOptions& options, RunObserver& observer)
      : config_(config),
        data_(data),
        observer_(observer),
        stop_(options.stop),
        threads_(use_threads(config.train.threads)),
        device_(resolve_device(config.train.device)),
        trainer_(
            make_trainer(options)),  // checks weights and order file before the folder is touched
        directory_(options.out,
                   options.resume ? RunDirectory::Mode::kResume : RunDirectory::Mode::kNew) {
    record_.start = utc_now();
    record_.parameters = trainer_.network().parameters().count();
    record_.device = device_.str();
    record_.engine = name_of(trainer_.network().engine());
    record_.threads = threads_;
    record_.data_fingerprint = data.fingerprint;
    if (options.resume) {
      continue_from_checkpoint();
    } else {
      record_.input_files = input_fingerprints(config_);
      write_file_atomically(directory_.file("config.yaml"), to_yaml(config_));
    }
    first_step_ = steps_taken_ = logged_step_ = trainer_.steps_done();
    open_tables();
    restart_speed();
    test_ = place(data.test, device_);
    save_record("running");
    directory_.keep();
  }

  /// What a call may enqueue: without turns, everything.
  struct Turn {
    int64_t steps;
    std::optional<int64_t> evaluation_batches;  // empty: looks at numbers whenever they are due
  };

  std::optional<RunEnd> advance(const Turn& turn) {
    if (!is_started_) observer_.on_start(config_, trainer_, directory_.path());
    is_started_ = true;
    std::optional<RunEnd> end;
    try {
      end = loop(turn);
    } catch (const std::exception& error) {
      observer_.on_end();
      record_.message = error.what() + kept_checkpoint_text();
      try {
        save_record("failed");
      } catch (const std::exception&) {
        // A full disk takes no record either; the first failure is the one to tell.
      }
      if (dynamic_cast<const WorkError*>(&error) != nullptr) throw WorkError(record_.message);
      throw;
    }
    if (!end) return end;
    save_record(end == RunEnd::kFinished ? "finished" : "interrupted");
    observer_.on_end();
    return end;
  }

 private:
  Trainer make_trainer(const RunOptions& options) const {
    Config config = config_;
    // A resumed run takes its weights from the checkpoint; the file it once started from may be
    // gone.
    if (options.resume && checkpoint_to_continue(options.out)) config.train.init_from.reset();
    return Trainer(config, data_, device_);
  }

  void continue_from_checkpoint() {
    if (const auto before = read_run_record(directory_.path())) {
      record_.start = before->start;
      record_.wall_seconds = earlier_seconds_ = before->wall_seconds;
      record_.resumed = before->resumed + 1;
      record_.input_files = before->input_files;
    }
    const auto checkpoint = checkpoint_to_continue(directory_.path());
    if (!checkpoint) record_.input_files = input_fingerprints(config_);
    if (checkpoint) {
      load_checkpoint(trainer_, *checkpoint);
      record_.checkpoint_step = trainer_.steps_done();
    }
    if (trainer_.finished()) return;
    // A blind evaluation made on the way is of weights that are about to change.
    std::error_code ignored;
    fs::remove_all(directory_.path() / "blind_eval", ignored);
  }

  void open_tables() {
    const int64_t done = trainer_.steps_done();
    const auto& tasks = data_.task_names;
    metrics_.emplace(directory_.file("metrics.csv"), metrics_header(tasks), done);
    timing_.emplace(directory_.file("timing.csv"), timing_header(), done);
    epochs_.emplace(directory_.file("epochs.csv"), epochs_header(tasks), done);
    // The checkpoint may be of the moment between an epoch's last step and its evaluation, or after
    // it.
    if (trainer_.at_epoch_end() && epochs_->last_key() == done) trainer_.begin_epoch();
  }

  /// Steps, logs and epochs until the run is done or asked to stop, or so many steps are made.
  std::optional<RunEnd> loop(const Turn& turn) {
    for (const int64_t last = steps_taken_ + turn.steps;;) {
      if (log_is_due()) log();
      if (epoch_awaits_evaluation()) {
        if (stop_requested()) break;
        const Progress progress = end_epoch(turn);
        if (progress == Progress::kWaits) return std::nullopt;
        if (progress == Progress::kStopped) break;
      }
      if (trainer_.finished()) return RunEnd::kFinished;
      if (stop_requested()) break;
      if (steps_taken_ == last) return std::nullopt;
      trainer_.step();
      steps_taken_ = trainer_.steps_done();
      observer_.on_step(trainer_);
      const bool looks_next =
          log_is_due() || epoch_awaits_evaluation() || trainer_.must_read_metrics();
      if (turn.evaluation_batches && looks_next) return std::nullopt;
    }
    check_steps();
    keep_checkpoint();
    return RunEnd::kInterrupted;
  }

  bool stop_requested() const { return stop_ != nullptr && stop_->load() != 0; }
  bool epoch_awaits_evaluation() const {
    return trainer_.at_epoch_end() && epochs_->last_key() < trainer_.steps_done();
  }

  /// Before anything is kept: throws if a step since the last look was not finite, or if the last
  /// one's update, which no loss has seen yet, spoilt the weights.
  void check_steps() {
    if (trainer_.steps_done() > first_step_) trainer_.read_metrics();
    trainer_.check_parameters();
  }

  bool log_is_due() const {
    const int64_t step = trainer_.steps_done();
    return step > logged_step_ && (step % config_.train.log_every == 0 || trainer_.finished());
  }

  void log() {
    const int64_t step = logged_step_ = trainer_.steps_done();
    const StepMetrics metrics = trainer_.read_metrics();
    const double seconds = since_log_.seconds();
    const double speed = static_cast<double>(metrics.images - images_at_log_) / seconds;
    metrics_->append(metrics_row(metrics));
    timing_->append(timing_row(step, earlier_seconds_ + wall_.seconds(), speed));
    observer_.on_log(metrics, speed);
    restart_speed();
  }

  void restart_speed() {
    images_at_log_ = trainer_.images_seen();
    since_log_ = Stopwatch();
  }

  enum class Progress { kDone, kWaits, kStopped };

  /// Evaluates, writes the epoch's files and a checkpoint.
  Progress end_epoch(const Turn& turn) {
    if (!evaluator_) {
      check_steps();
      observer_.on_evaluate(trainer_.epoch());
      evaluator_.emplace(trainer_.network(), test_, std::vector<Protocol>{home_protocol(config_)},
                         config_.train.eval_batch_size);
    }
    if (evaluator_->has_next()) {
      for (int64_t batch = 0; evaluator_->has_next(); ++batch) {
        if (stop_requested()) {
          evaluator_.reset();
          return Progress::kStopped;
        }
        if (turn.evaluation_batches && batch == *turn.evaluation_batches) break;
        evaluator_->advance();
      }
      if (turn.evaluation_batches) return Progress::kWaits;
    }
    EpochRecord record;
    record.epoch = trainer_.epoch();
    record.step = trainer_.steps_done();
    record.train = trainer_.epoch_sums();
    record.test = evaluator_->results().front();
    evaluator_.reset();
    reject_non_finite(record.test);
    write_epoch_files(directory_, config_, trainer_, record);
    if (trainer_.finished()) write_summary(directory_, config_, trainer_, record);
    epochs_->append(epochs_row(record));
    trainer_.begin_epoch();
    if (trainer_.finished() || record.epoch % config_.train.checkpoint_every == 0) {
      keep_checkpoint();
      save_record("running");
    }
    observer_.on_epoch(record);
    restart_speed();
    return Progress::kDone;
  }

  /// Only after check_steps().
  void keep_checkpoint() {
    save_checkpoint(trainer_, directory_.path());
    record_.checkpoint_step = trainer_.steps_done();
  }

  std::string kept_checkpoint_text() const {
    if (!record_.checkpoint_step) return "; there is no checkpoint yet";
    return "; the checkpoint of step " + std::to_string(*record_.checkpoint_step) + " is kept";
  }

  void reject_non_finite(const Evaluation& test) const {
    for (size_t task = 0; task < test.loss.size(); ++task) {
      if (std::isfinite(test.loss[task])) continue;
      throw WorkError("step " + std::to_string(trainer_.steps_done()) + ": the test loss of " +
                      data_.task_names[task] + " is not finite");
    }
  }

  void save_record(const char* status) {
    record_.status = status;
    record_.steps = steps_taken_;
    record_.epochs = trainer_.epoch();
    record_.step = to_string(trainer_.form_of_steps());
    record_.wall_seconds = earlier_seconds_ + wall_.seconds();
    write_run_record(directory_, config_, record_);
  }

  Config config_;
  const Dataset& data_;
  RunObserver& observer_;
  const std::atomic<int>* stop_;
  int64_t threads_;
  at::Device device_;
  Trainer trainer_;
  RunDirectory directory_;
  DeviceSplit test_;
  RunRecord record_;
  std::optional<GrowingCsv> metrics_, timing_, epochs_;
  Stopwatch wall_, since_log_;
  double earlier_seconds_ = 0.0;
  int64_t images_at_log_ = 0;
  int64_t first_step_ = 0;   // steps done when this session began
  int64_t logged_step_ = 0;  // of the last row of metrics.csv, or of the start
  int64_t steps_taken_ = 0;  // with their update; the trainer counts a step that fails too
  bool is_started_ = false;
  std::optional<Evaluator> evaluator_;  // while an epoch's evaluation is at work
};

TrainingRun::TrainingRun(const Config& config, const Dataset& data, const RunOptions& options,
                         RunObserver& observer)
    : work_(std::make_unique<Work>(config, data, options, observer)) {}
TrainingRun::~TrainingRun() = default;

std::optional<RunEnd> TrainingRun::advance(int64_t steps) {
  return work_->advance({steps, std::nullopt});
}

std::optional<RunEnd> TrainingRun::take_turn(int64_t steps, int64_t evaluation_batches) {
  return work_->advance({steps, evaluation_batches});
}

Protocol home_protocol(const Config& config) {
  return {config.variant == Variant::kBlind ? Protocol::Kind::kBlind : Protocol::Kind::kInformed,
          0};
}

RunEnd train_run(const Config& config, const Dataset& data, const RunOptions& options,
                 RunObserver& observer) {
  TrainingRun run(config, data, options, observer);
  constexpr int64_t kManySteps = 1 << 20;
  while (true) {
    if (const auto end = run.advance(kManySteps)) return *end;
  }
}

}  // namespace cdsp
