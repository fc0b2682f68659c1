#include "experiment/bench_step.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/random.h"
#include "data/dataset.h"
#include "train/runtime.h"
#include "train/trainer.h"

namespace cdsp {
namespace {

constexpr int64_t kSide = 28;

/// Random pixels: a step's cost does not depend on what they show.
Dataset synthetic_images(const Config& config, int64_t per_task) {
  Dataset data;
  data.task_names = config.data.tasks;
  RandomStream random(0, RandomPurpose::kTest);
  for (Split* split : {&data.train, &data.test}) {
    split->rows = split->cols = kSide;
    split->task_offsets.push_back(0);
    for (size_t task = 0; task < data.task_names.size(); ++task) {
      for (int64_t i = 0; i < per_task; ++i) {
        split->labels.push_back(
            static_cast<uint8_t>(random.below(static_cast<uint64_t>(config.model.classes))));
      }
      split->task_offsets.push_back(split->size());
    }
    split->pixels.resize(static_cast<size_t>(split->size() * kSide * kSide));
    for (uint8_t& pixel : split->pixels) pixel = static_cast<uint8_t>(random.next_u32());
  }
  data.fingerprint = "synthetic";
  return data;
}

const char* name_of(Engine engine) {
  switch (engine) {
    case Engine::kFused:
      return to_string(EngineChoice::kFused);
    case Engine::kEmulated:
      return to_string(EngineChoice::kEmulated);
    case Engine::kReference:
      break;
  }
  return to_string(EngineChoice::kReference);
}

struct Setting {
  StepBenchResult result;
  std::unique_ptr<Trainer> trainer;
  std::vector<double> milliseconds;
};

void measure(Setting& setting, int64_t steps) {
  use_threads(setting.result.threads);
  setting.trainer->step();  // caches and threads as this setting leaves them
  setting.trainer->read_metrics();
  const auto start = std::chrono::steady_clock::now();
  for (int64_t step = 0; step < steps; ++step) setting.trainer->step();
  setting.trainer->read_metrics();  // waits for the device
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  setting.milliseconds.push_back(elapsed.count() / static_cast<double>(steps));
}

}  // namespace

std::vector<StepBenchResult> bench_step(const Config& base, const StepBenchRequest& request) {
  const int64_t largest = *std::max_element(request.batches.begin(), request.batches.end());
  const Dataset data = synthetic_images(base, largest);
  if (kSide % base.model.patch_size != 0) {
    throw InputError("model.patch_size: " + std::to_string(base.model.patch_size) +
                     " does not divide the benchmark's images of 28 x 28 pixels");
  }
  const at::Device device = resolve_device(request.device);
  std::vector<Setting> settings;
  for (const Variant variant : request.variants) {
    for (const int64_t batch : request.batches) {
      for (const int64_t threads : request.threads) {
        for (const DType dtype : request.dtypes) {
          Config config = base;
          config.variant = variant;
          config.model.dtype = dtype;
          config.train.batch_size = batch;
          config.train.epochs = 1 << 30;
          config.train.max_steps = 0;
          config.data.order_file.reset();
          Setting setting;
          setting.result.variant = to_string(variant);
          setting.result.dtype = to_string(dtype);
          setting.result.engine = name_of(resolve_engine(config.train.engine, device));
          setting.result.device = device.str();
          setting.result.batch = batch;
          setting.result.threads = use_threads(threads);
          setting.trainer = std::make_unique<Trainer>(config, data, device);
          settings.push_back(std::move(setting));
        }
      }
    }
  }
  for (int64_t repeat = 0; repeat < request.repeats; ++repeat) {
    for (Setting& setting : settings) measure(setting, request.steps);
  }
  std::vector<StepBenchResult> results;
  for (Setting& setting : settings) {
    std::vector<double>& times = setting.milliseconds;
    std::sort(times.begin(), times.end());
    StepBenchResult& result = setting.result;
    result.ms_per_step = 0.5 * (times[times.size() / 2] + times[(times.size() - 1) / 2]);
    result.ms_fastest = times.front();
    result.ms_slowest = times.back();
    result.images_per_s = static_cast<double>(result.batch) * 1000.0 / result.ms_per_step;
    result.peak_memory_bytes = peak_memory_bytes();
    results.push_back(result);
  }
  return results;
}

}  // namespace cdsp
