#include "experiment/bench_step.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/ATen.h>

#include "eval/evaluate.h"
#include "experiment/bench_floor.h"
#include "experiment/bench_images.h"
#include "experiment/bench_timing.h"
#include "experiment/train_run.h"
#include "train/runtime.h"
#include "train/step_graph.h"
#include "train/trainer.h"

namespace cdsp {
namespace {

constexpr int64_t kPaperImagesOfATask = 60'000;

/// What a setting works with, and what its rounds have measured.
struct Bench {
  StepBenchResult result;
  BenchPhase phase;
  Config config;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<DeviceSplit> test;  // for an evaluation only
  std::unique_ptr<GemmFloor> floor;
  std::vector<double> milliseconds, floor_milliseconds;
};

/// The config of a run that never ends by itself.
Config endless(Config config) {
  config.train.epochs = 1 << 30;
  config.train.max_steps = 0;
  config.data.order_file.reset();
  return config;
}

/// A split of `count` images, the tasks taking turns.
DeviceSplit test_split(const Dataset& data, int64_t count, at::Device device) {
  const int64_t tasks = data.test.tasks(), per_task = data.test.task_size(0);
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < count; ++i)
    samples.push_back(i % tasks * per_task + i / tasks % per_task);
  const Batch batch = gather(place(data.test, device), at::tensor(samples, at::kLong).to(device));
  return {batch.images, batch.labels, batch.tasks};
}

void evaluate_images(const Bench& bench, int64_t count) {
  const DeviceSplit& test = *bench.test;
  const DeviceSplit part = {test.images.narrow(0, 0, count), test.labels.narrow(0, 0, count),
                            test.tasks.narrow(0, 0, count)};
  evaluate(bench.trainer->network(), part, {home_protocol(bench.config)}, bench.result.batch);
}

/// Milliseconds a step, over `steps` of them.
double time_of_steps(Bench& bench, int64_t steps) {
  if (bench.phase == BenchPhase::kEvaluate) {
    return milliseconds_of([&] { evaluate_images(bench, steps * bench.result.batch); }) /
           static_cast<double>(steps);
  }
  return milliseconds_of([&] {
           for (int64_t step = 0; step < steps; ++step) bench.trainer->step();
           bench.trainer->read_metrics();  // waits for the device
         }) /
         static_cast<double>(steps);
}

/// Steps before a graph of the step is there, and one replay.
void reach_the_graph(Bench& bench) {
  if (bench.phase == BenchPhase::kEvaluate) return;
  for (int step = 0; bench.trainer->awaits_capture() && step < StepGraph::kWarmUpSteps + 2; ++step)
    bench.trainer->step();
}

void measure(Bench& bench, int64_t steps) {
  use_threads(bench.result.threads);
  reach_the_graph(bench);
  // First once unmeasured: caches and threads as this setting leaves them.
  if (bench.phase == BenchPhase::kTrain) {
    bench.trainer->step();
    bench.trainer->read_metrics();
  } else {
    evaluate_images(bench, bench.result.batch);
  }
  bench.milliseconds.push_back(time_of_steps(bench, steps));
  if (!bench.floor) return;
  bench.floor->run();
  double floor_time = 0;
  for (int64_t step = 0; step < steps; ++step) floor_time += bench.floor->run();
  bench.floor_milliseconds.push_back(floor_time / static_cast<double>(steps));
}

Bench make_bench(const StepSetting& setting, const Dataset& data, at::Device device,
                 int64_t steps) {
  Bench bench;
  bench.phase = setting.phase;
  bench.config = endless(setting.config);
  const Config& config = bench.config;
  StepBenchResult& result = bench.result;
  result.variant = to_string(config.variant);
  result.phase = to_string(setting.phase);
  result.dtype = to_string(config.model.dtype);
  result.device = device.str();
  result.precision = to_string(config.train.precision);
  result.batch = config.train.batch_size;
  result.threads = use_threads(setting.threads);
  bench.trainer = std::make_unique<Trainer>(config, data, device);
  result.engine = name_of(bench.trainer->network().engine());
  if (setting.phase == BenchPhase::kEvaluate) {
    bench.test = std::make_unique<DeviceSplit>(test_split(data, result.batch * steps, device));
  }
  if (device.is_cpu()) {
    bench.floor = std::make_unique<GemmFloor>(
        step_products(config, result.batch, setting.phase, ProductForm::kEngine),
        config.model.dtype);
  }
  return bench;
}

StepBenchResult finished(const Bench& bench) {
  StepBenchResult result = bench.result;
  if (bench.phase == BenchPhase::kTrain) result.step = to_string(bench.trainer->form_of_steps());
  const auto speed = [&](double ms) { return static_cast<double>(result.batch) * 1000.0 / ms; };
  const Times times = summarise_times(bench.milliseconds);
  result.ms_per_step = times.median;
  result.ms_fastest = times.fastest;
  result.ms_slowest = times.slowest;
  result.ms_of_rounds = bench.milliseconds;
  result.images_per_s = speed(times.median);
  if (bench.floor) {
    StepFloor floor;
    floor.ms = summarise_times(bench.floor_milliseconds).median;
    floor.images_per_s = speed(floor.ms);
    floor.gflop_per_step = bench.floor->flops() / 1e9;
    floor.gflop_per_s = bench.floor->flops() / floor.ms / 1e6;
    floor.percent_reached = 100.0 * median_ratio(bench.floor_milliseconds, bench.milliseconds);
    result.floor = floor;
  }
  result.peak_memory_bytes = peak_memory_bytes();
  return result;
}

bool is_training_of(const StepBenchResult& training, const StepBenchResult& evaluation) {
  return training.phase == to_string(BenchPhase::kTrain) &&
         training.variant == evaluation.variant && training.batch == evaluation.batch &&
         training.threads == evaluation.threads && training.dtype == evaluation.dtype;
}

/// How many times as fast as the training of the same setting, where that was measured too.
std::optional<double> times_training_speed(const Bench& bench, const std::vector<Bench>& all) {
  if (bench.phase != BenchPhase::kEvaluate) return std::nullopt;
  for (const Bench& other : all) {
    if (is_training_of(other.result, bench.result))
      return median_ratio(other.milliseconds, bench.milliseconds);
  }
  return std::nullopt;
}

}  // namespace

std::vector<StepBenchResult> measure_steps(const std::vector<StepSetting>& settings,
                                           const std::string& device, int64_t steps,
                                           int64_t repeats) {
  int64_t largest = 1;
  for (const StepSetting& setting : settings) {
    require_fitting_patch(setting.config);
    largest = std::max(largest, setting.config.train.batch_size);
  }
  const at::Device resolved = resolve_device(device);
  // On a GPU an epoch's order is uploaded while the GPU has nothing to do: as seldom as in a run.
  const int64_t images = resolved.is_cpu() ? largest : std::max(largest, kPaperImagesOfATask);
  const Dataset data = synthetic_images(settings.front().config, images, largest);
  std::vector<Bench> benches;
  benches.reserve(settings.size());
  for (const StepSetting& setting : settings) {
    benches.push_back(make_bench(setting, data, resolved, steps));
  }
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (Bench& bench : benches) measure(bench, steps);
  }
  std::vector<StepBenchResult> results;
  for (const Bench& bench : benches) {
    results.push_back(finished(bench));
    results.back().times_training_speed = times_training_speed(bench, benches);
  }
  return results;
}

std::vector<StepBenchResult> bench_step(const Config& base, const StepBenchRequest& request) {
  std::vector<StepSetting> settings;
  for (const Variant variant : request.variants) {
    for (const BenchPhase phase : request.phases) {
      for (const int64_t batch : request.batches) {
        for (const int64_t threads : request.threads) {
          for (const DType dtype : request.dtypes) {
            StepSetting setting{base, phase, threads};
            setting.config.variant = variant;
            setting.config.model.dtype = dtype;
            setting.config.train.batch_size = batch;
            settings.push_back(std::move(setting));
          }
        }
      }
    }
  }
  return measure_steps(settings, request.device, request.steps, request.repeats);
}

}  // namespace cdsp
