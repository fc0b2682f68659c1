#include "experiment/bench_epoch.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <ATen/ATen.h>
#include <unistd.h>

#include "base/error.h"
#include "data/sampler.h"
#include "eval/evaluate.h"
#include "experiment/bench_images.h"
#include "experiment/bench_timing.h"
#include "experiment/train_run.h"
#include "kernels/patch_embedding.h"
#include "model/network.h"
#include "train/device_split.h"
#include "train/metric_vector.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/runtime.h"
#include "train/step_metrics.h"
#include "train/task_dropout.h"
#include "train/trainer.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// A folder among the temporary ones, gone with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (fs::temp_directory_path() / "cdsp-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw WorkError(pattern + ": cannot be made");
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Looks at the clock where a run says what it is at.
class RunClock : public RunObserver {
 public:
  void on_start(const Config&, const Trainer&, const fs::path&) override { start_ = Clock::now(); }
  void on_step(const Trainer&) override { step_ = Clock::now(); }
  void on_log(const StepMetrics&, double) override {
    logging_ms += milliseconds_between(step_, Clock::now());
  }
  void on_evaluate(int64_t) override { evaluate_ = Clock::now(); }
  void on_epoch(const EpochRecord&) override {
    const Clock::time_point end = Clock::now();
    epoch_ms = milliseconds_between(start_, end);
    training_ms = milliseconds_between(start_, evaluate_);
    closing_ms = milliseconds_between(evaluate_, end);
  }

  double epoch_ms = 0, training_ms = 0, logging_ms = 0, closing_ms = 0;

 private:
  Clock::time_point start_, step_, evaluate_;
};

/// What an epoch does to get its batches: the order, who keeps the task, each batch's images, and
/// their patches where the engine makes those.
double data_milliseconds(const Config& config, const Dataset& data, int64_t steps) {
  const DeviceSplit train = place(data.train, at::kCPU);
  const at::ScalarType dtype = scalar_type(config.model.dtype);
  const bool makes_patches = resolve_engine(config, at::kCPU) == Engine::kReference;
  return milliseconds_of([&] {
    const Sampler sampler(config, data.train);
    const at::Tensor order = at::tensor(sampler.epoch_order(0), at::kLong);
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t begin = step * config.train.batch_size;
      const int64_t count = std::min(config.train.batch_size, order.size(0) - begin);
      if (config.variant != Variant::kBlind) {
        draw_task_kept(config.router, config.seed, step + 1, count);
      }
      const Batch batch = gather(train, order.narrow(0, begin, count));
      one_hot_tasks(batch.tasks, data.train.tasks(), dtype);
      // The fused embedding reads the images' bytes where they lie.
      if (makes_patches) patches_of(batch.images, config.model.patch_size, dtype);
    }
  });
}

/// What a step reckons for its row beyond the loss.
double metrics_milliseconds(const Config& config, const Dataset& data, int64_t steps) {
  const auto options = at::TensorOptions().dtype(scalar_type(config.model.dtype));
  const int64_t size = config.train.batch_size, experts = config.moe.num_experts;
  ForwardResult forward;
  forward.logits = at::rand({size, config.model.classes}, options);
  for (int64_t layer = 0; config.variant == Variant::kCdsp && layer < config.model.layers; ++layer)
    forward.sites.push_back({at::rand({experts, experts}, options), {}, {}, nullptr});
  Batch batch;
  batch.labels = batch.tasks = at::zeros({size}, at::kLong);
  const at::Tensor number = at::zeros({}, options);
  const Objective terms{number, number, number,
                        number, number, cross_entropy_per_image(forward.logits, batch.labels)};
  return milliseconds_of([&] {
    for (int64_t step = 0; step < steps; ++step) {
      const StepVector vector = metric_vector(terms, number, forward, batch, data.train.tasks());
      const StepMetrics metrics = unpack_metrics(vector.whole, !forward.sites.empty());
      if (!first_non_finite(metrics).empty()) throw WorkError("the metrics are not finite");
    }
  });
}

double evaluation_milliseconds(const Config& config, const Dataset& data) {
  const Network network(config, {data.test.rows, data.test.cols, data.test.tasks()}, at::kCPU);
  const DeviceSplit test = place(data.test, at::kCPU);
  return milliseconds_of(
      [&] { evaluate(network, test, {home_protocol(config)}, config.train.eval_batch_size); });
}

EpochBenchResult measure(const Config& config, const Dataset& data) {
  const ScratchFolder folder;
  RunClock clock;
  train_run(config, data, {folder.path() / "run"}, clock);
  EpochBenchResult result;
  result.steps = (data.train.size() + config.train.batch_size - 1) / config.train.batch_size;
  result.epoch_ms = clock.epoch_ms;
  result.logging_ms = clock.logging_ms;
  result.steps_ms = clock.training_ms - clock.logging_ms;
  result.data_ms = data_milliseconds(config, data, result.steps);
  result.metrics_ms = metrics_milliseconds(config, data, result.steps);
  result.evaluation_ms = evaluation_milliseconds(config, data);
  result.files_ms = std::max(0.0, clock.closing_ms - result.evaluation_ms);
  result.overhead_percent =
      100.0 * (result.data_ms + result.metrics_ms + result.logging_ms) / result.epoch_ms;
  result.evaluation_speed = static_cast<double>(data.test.size()) / result.evaluation_ms /
                            (static_cast<double>(data.train.size()) / clock.training_ms);
  return result;
}

/// The median of every figure over the repeats.
EpochBenchResult median_of(const std::vector<EpochBenchResult>& repeats) {
  EpochBenchResult result = repeats.front();
  for (double EpochBenchResult::*figure :
       {&EpochBenchResult::epoch_ms, &EpochBenchResult::steps_ms, &EpochBenchResult::data_ms,
        &EpochBenchResult::metrics_ms, &EpochBenchResult::logging_ms,
        &EpochBenchResult::evaluation_ms, &EpochBenchResult::files_ms,
        &EpochBenchResult::overhead_percent, &EpochBenchResult::evaluation_speed}) {
    std::vector<double> values;
    for (const EpochBenchResult& repeat : repeats) values.push_back(repeat.*figure);
    result.*figure = summarise_times(values).median;
  }
  return result;
}

}  // namespace

std::vector<EpochBenchResult> bench_epoch(const Config& base, const EpochBenchRequest& request) {
  require_fitting_patch(base);
  const auto tasks = static_cast<int64_t>(base.data.tasks.size());
  const auto per_task = [&](int64_t images) { return std::max<int64_t>(1, images / tasks); };
  const Dataset data =
      synthetic_images(base, per_task(request.images), per_task(request.test_images));
  std::vector<Config> configs;
  for (const Variant variant : request.variants) {
    Config config = base;
    config.variant = variant;
    config.train.epochs = 1;
    config.train.max_steps = 0;
    config.train.batch_size = request.batch;
    config.train.threads = request.threads;
    config.train.device = "cpu";
    config.data.order_file.reset();
    configs.push_back(config);
  }
  std::vector<std::vector<EpochBenchResult>> repeats(configs.size());
  for (int64_t repeat = 0; repeat < request.repeats; ++repeat) {
    for (size_t i = 0; i < configs.size(); ++i) repeats[i].push_back(measure(configs[i], data));
  }
  std::vector<EpochBenchResult> results;
  for (size_t i = 0; i < configs.size(); ++i) {
    EpochBenchResult result = median_of(repeats[i]);
    result.variant = to_string(configs[i].variant);
    result.images = data.train.size();
    result.test_images = data.test.size();
    result.batch = request.batch;
    result.threads = use_threads(request.threads);
    results.push_back(result);
  }
  return results;
}

}  // namespace cdsp
