// How the cost of a training step grows along one axis at a time: batch, experts, d_base, layers,
// threads; everything else stays as the config says.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "experiment/bench_step.h"

namespace cdsp {

enum class ScalingAxis { kBatch, kExperts, kDBase, kLayers, kThreads };
inline constexpr std::array<ScalingAxis, 5> kScalingAxes = {
    ScalingAxis::kBatch, ScalingAxis::kExperts, ScalingAxis::kDBase, ScalingAxis::kLayers,
    ScalingAxis::kThreads};
const char* to_string(ScalingAxis axis);

/// The values that an axis is measured at. Experts and d_base keep the paper's rule of equal
/// parameters: the standard layer's d_ffn becomes d_base / experts, at least 1.
struct ScalingSweep {
  ScalingAxis axis;
  std::vector<int64_t> values;  // rising
};

struct ScalingRequest {
  std::vector<Variant> variants = {Variant::kBaseline, Variant::kCdsp};
  std::vector<ScalingSweep> sweeps;
  int64_t batch = 128;  // on the other axes
  int64_t threads = 0;  // on the other axes; 0 = all cores
  int64_t steps = 3;    // per measurement
  int64_t repeats = 3;  // measurements; the median counts
};

struct ScalingPoint {
  ScalingAxis axis;
  int64_t value = 0;
  StepBenchResult step;
  /// From the value before: growth_exponent() of the time and of the arithmetic; NaN at the first.
  double time_exponent = 0, arithmetic_exponent = 0;
};

/// Throws InputError naming the axis and the value where the config does not allow it.
void check_scaling(const Config& base, const ScalingRequest& request);

/// Points sweep by sweep, variant by variant, values rising. Throws as check_scaling() does, before
/// anything is measured.
std::vector<ScalingPoint> bench_scaling(const Config& base, const ScalingRequest& request);

/// A row a point.
std::string scaling_csv(const std::vector<ScalingPoint>& points);

}  // namespace cdsp
