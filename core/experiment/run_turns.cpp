#include "experiment/run_turns.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/failure.h"
#include "eval/protocol.h"
#include "experiment/blind_eval.h"
#include "experiment/train_run.h"
#include "train/device_step.h"
#include "train/own_stream.h"
#include "train/runtime.h"

namespace cdsp {
namespace {

/// Steps of a turn at most: enough to outlast the turns of the other runs, few enough that all of
/// them fit into CUDA's queue of launches.
constexpr int64_t kStepsInTurn = 64;
/// Batches of an evaluation in a turn.
constexpr int64_t kBatchesInTurn = 8;
/// Between two looks at streams that are all at work: short beside a turn.
constexpr auto kBetweenLooks = std::chrono::microseconds(200);

/// The images, loaded once for all runs of a comparison.
class SharedData {
 public:
  std::shared_ptr<const Dataset> of(const Config& config) {
    Config sources;  // what decides about the images
    sources.data = config.data;
    sources.model.classes = config.model.classes;
    sources.model.patch_size = config.model.patch_size;
    std::string text = to_yaml(sources);
    if (!data_ || text != sources_) {
      data_ = std::make_shared<const Dataset>(load_dataset(config));
      sources_ = std::move(text);
    }
    return data_;
  }

 private:
  std::string sources_;
  std::shared_ptr<const Dataset> data_;
};

class TurnStage : public StageAtWork {
 public:
  TurnStage(const PlannedRun& run, RunStage stage, std::shared_ptr<SharedData> data)
      : run_(run),
        stage_(stage),
        data_(std::move(data)),
        stream_(resolve_device(run.config.train.device)) {}

  std::optional<StageEnd> poll() override {
    has_worked_ = false;
    if (!stream_.is_idle()) return std::nullopt;
    has_worked_ = true;
    StageEnd end;
    try {
      const OwnStream::Use use(stream_);
      const std::optional<RunEnd> run_end = stage_ == RunStage::kTrain ? train() : evaluate();
      if (!run_end) return std::nullopt;
      if (*run_end == RunEnd::kInterrupted) end.kind = StageEnd::Kind::kStopped;
    } catch (const std::exception& error) {
      end.kind = StageEnd::Kind::kFailed;
      const Failure failure = failure_of(error);
      end.message = failure.message;
      end.is_input_error = failure.exit_code == kExitBadInput;
    }
    // Before the next run needs the memory.
    training_.reset();
    evaluation_.reset();
    try {
      if (resolve_device(run_.config.train.device).is_cuda()) give_back_device_memory();
    } catch (const std::exception&) {
      // A broken GPU takes no memory back; whoever works there next is told.
    }
    return end;
  }

  std::chrono::microseconds until_next_poll() const override {
    return has_worked_ ? std::chrono::microseconds(0) : kBetweenLooks;
  }

  void stop(int signal) override { stop_ = signal; }

 private:
  std::optional<RunEnd> train() {
    if (!training_) {
      if (stop_ != 0) return RunEnd::kInterrupted;
      images_ = data_->of(run_.config);
      const RunOptions options{run_.folder, run_.state == RunState::kUnfinished, &stop_};
      training_ = std::make_unique<TrainingRun>(run_.config, *images_, options, observer_);
    }
    return training_->take_turn(kStepsInTurn, kBatchesInTurn);
  }

  std::optional<RunEnd> evaluate() {
    if (stop_ != 0) return RunEnd::kInterrupted;
    if (!evaluation_) {
      model_ = model_of_run(run_.folder);
      model_.config.train.device = run_.config.train.device;
      use_threads(run_.config.train.threads);
      images_ = data_->of(model_.config);
      evaluation_ = std::make_unique<BlindEvaluation>(
          model_, *images_,
          std::vector<Protocol>{{Protocol::Kind::kInformed, 0}, {Protocol::Kind::kBlind, 0}});
    }
    if (evaluation_->has_next()) {
      for (int64_t batch = 0; batch < kBatchesInTurn && evaluation_->has_next(); ++batch)
        evaluation_->advance();
      return std::nullopt;  // also after the last: its results are there in the next turn
    }
    write_blind_eval(run_.folder, model_, *images_, evaluation_->results());
    return RunEnd::kFinished;
  }

  const PlannedRun run_;
  const RunStage stage_;
  std::shared_ptr<SharedData> data_;
  OwnStream stream_;
  std::atomic<int> stop_{0};
  RunObserver observer_;
  std::shared_ptr<const Dataset> images_;
  std::unique_ptr<TrainingRun> training_;
  TrainedModel model_;
  std::unique_ptr<BlindEvaluation> evaluation_;
  bool has_worked_ = false;  // in the last poll()
};

}  // namespace

bool can_take_turns(const Config& config) {
  const at::Device device = resolve_device(config.train.device);
  return device.is_cuda() && resolve_step(config.train.step, device) == StepForm::kGraph;
}

RunLauncher launch_in_turns() {
  const auto data = std::make_shared<SharedData>();
  return [data](const PlannedRun& run, RunStage stage, int64_t) {
    return std::make_unique<TurnStage>(run, stage, data);
  };
}

RunLauncher launch_on_devices(RunLauncher others) {
  return [turns = launch_in_turns(), others = std::move(others)](const PlannedRun& run,
                                                                 RunStage stage, int64_t threads) {
    return can_take_turns(run.config) ? turns(run, stage, threads) : others(run, stage, threads);
  };
}

}  // namespace cdsp
