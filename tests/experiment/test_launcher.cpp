#include "experiment/test_launcher.h"

#include "experiment/blind_eval.h"
#include "experiment/train_run.h"
#include "train/trainer.h"

namespace cdsp::test {
namespace {

class EndedStage : public StageAtWork {
 public:
  explicit EndedStage(StageEnd end) : end_(std::move(end)) {}
  std::optional<StageEnd> poll() override { return end_; }
  void stop(int) override {}

 private:
  StageEnd end_;
};

class StopsAt : public RunObserver {
 public:
  StopsAt(int64_t step, std::atomic<int>& stop) : step_(step), stop_(stop) {}
  void on_step(const Trainer& trainer) override {
    if (trainer.steps_done() == step_) stop_ = 2;
  }

 private:
  int64_t step_;
  std::atomic<int>& stop_;
};

StageEnd train(const PlannedRun& run, int64_t stop_at, std::atomic<int>& stop) {
  StopsAt observer(stop_at, stop);
  const RunOptions options{run.folder, run.state == RunState::kUnfinished, &stop};
  StageEnd end;
  if (train_run(run.config, load_dataset(run.config), options, observer) == RunEnd::kInterrupted)
    end.kind = StageEnd::Kind::kStopped;
  return end;
}

void evaluate_run(const PlannedRun& run) {
  const Dataset data = load_dataset(run.config);
  const TrainedModel model = model_of_run(run.folder);
  const auto protocols = all_protocols(data.test.tasks());
  write_blind_eval(run.folder, model, data,
                   blind_evaluate(model, data, {protocols[0], protocols[1]}));
}

}  // namespace

RunLauncher TestLauncher::in_process() {
  return [this](const PlannedRun& run, RunStage stage, int64_t) {
    started.push_back((stage == RunStage::kTrain ? "train " : "evaluate ") + run.name());
    StageEnd end;
    if (stage == RunStage::kTrain) {
      end = train(run, run.name() == cut_off ? cut_off_at : -1, stop);
    } else {
      evaluate_run(run);
    }
    return std::make_unique<EndedStage>(end);
  };
}

}  // namespace cdsp::test
