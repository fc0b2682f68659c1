#include "experiment/bench_scaling.h"

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "experiment/bench_images.h"
#include "experiment/bench_timing.h"

namespace cdsp {
namespace {

StepSetting setting_at(const Config& base, const ScalingRequest& request, Variant variant,
                       ScalingAxis axis, int64_t value) {
  StepSetting setting{base, BenchPhase::kTrain, request.threads};
  Config& config = setting.config;
  config.variant = variant;
  config.train.batch_size = request.batch;
  switch (axis) {
    case ScalingAxis::kBatch:
      config.train.batch_size = value;
      break;
    case ScalingAxis::kExperts:
      config.moe.num_experts = value;
      break;
    case ScalingAxis::kDBase:
      config.moe.d_base = value;
      break;
    case ScalingAxis::kLayers:
      config.model.layers = value;
      break;
    case ScalingAxis::kThreads:
      setting.threads = value;
      break;
  }
  if (axis == ScalingAxis::kExperts || axis == ScalingAxis::kDBase) {
    config.moe.d_ffn = std::max<int64_t>(1, config.moe.d_base / config.moe.num_experts);
  }
  validate(config, "bench scaling, " + std::string(to_string(axis)) + " " + std::to_string(value));
  return setting;
}

/// The settings of every sweep, variant by variant.
std::vector<std::vector<StepSetting>> settings_of(const Config& base,
                                                  const ScalingRequest& request) {
  require_fitting_patch(base);
  std::vector<std::vector<StepSetting>> sweeps;
  for (const ScalingSweep& sweep : request.sweeps) {
    sweeps.emplace_back();
    for (const Variant variant : request.variants) {
      for (const int64_t value : sweep.values) {
        sweeps.back().push_back(setting_at(base, request, variant, sweep.axis, value));
      }
    }
  }
  return sweeps;
}

void add_exponents(std::vector<ScalingPoint>& points, size_t begin) {
  for (size_t i = begin; i < points.size(); ++i) {
    ScalingPoint& here = points[i];
    here.time_exponent = here.arithmetic_exponent = std::nan("");
    if (i == begin || points[i - 1].step.variant != here.step.variant) continue;
    const ScalingPoint& before = points[i - 1];
    const auto from = static_cast<double>(before.value), to = static_cast<double>(here.value);
    here.time_exponent = growth_exponent(from, before.step.ms_per_step, to, here.step.ms_per_step);
    here.arithmetic_exponent = growth_exponent(from, before.step.floor->gflop_per_step, to,
                                               here.step.floor->gflop_per_step);
  }
}

std::string cell(double value) { return std::isfinite(value) ? csv_number(value) : std::string(); }

}  // namespace

const char* to_string(ScalingAxis axis) {
  switch (axis) {
    case ScalingAxis::kBatch:
      return "batch";
    case ScalingAxis::kExperts:
      return "experts";
    case ScalingAxis::kDBase:
      return "d_base";
    case ScalingAxis::kLayers:
      return "layers";
    case ScalingAxis::kThreads:
      break;
  }
  return "threads";
}

void check_scaling(const Config& base, const ScalingRequest& request) {
  settings_of(base, request);
}

std::vector<ScalingPoint> bench_scaling(const Config& base, const ScalingRequest& request) {
  const std::vector<std::vector<StepSetting>> sweeps = settings_of(base, request);
  std::vector<ScalingPoint> points;
  for (size_t s = 0; s < sweeps.size(); ++s) {
    const ScalingSweep& sweep = request.sweeps[s];
    const size_t begin = points.size();
    const auto results = measure_steps(sweeps[s], "cpu", request.steps, request.repeats);
    for (size_t i = 0; i < results.size(); ++i) {
      points.push_back({sweep.axis, sweep.values[i % sweep.values.size()], results[i], 0, 0});
    }
    add_exponents(points, begin);
  }
  return points;
}

std::string scaling_csv(const std::vector<ScalingPoint>& points) {
  std::string text =
      "axis,value,variant,batch,threads,ms_per_step,ms_fastest,ms_slowest,images_per_s,"
      "gflop_per_step,floor_ms,percent_of_floor,time_exponent,arithmetic_exponent\n";
  for (const ScalingPoint& point : points) {
    const StepBenchResult& step = point.step;
    CsvRow row;
    row.add(std::string(to_string(point.axis))).add(point.value).add(step.variant);
    row.add(step.batch).add(step.threads);
    row.add(step.ms_per_step).add(step.ms_fastest).add(step.ms_slowest).add(step.images_per_s);
    row.add(step.floor->gflop_per_step).add(step.floor->ms).add(step.floor->percent_reached);
    row.add(cell(point.time_exponent)).add(cell(point.arithmetic_exponent));
    text += row.text() + "\n";
  }
  return text;
}

}  // namespace cdsp
