// How long a training step takes: median over several short measurements, on synthetic images.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

struct StepBenchRequest {
  std::vector<Variant> variants = {Variant::kBaseline, Variant::kCdsp};
  std::vector<int64_t> batches = {128};
  std::vector<int64_t> threads = {0};  // 0 = all cores
  std::vector<DType> dtypes = {DType::kFloat32};
  std::string device = "cpu";
  int64_t steps = 10;   // per measurement
  int64_t repeats = 5;  // measurements; the median counts
};

struct StepBenchResult {
  std::string variant, dtype, engine, device;
  int64_t batch = 0, threads = 0;
  double ms_per_step = 0;  // median over the repeats
  double ms_fastest = 0, ms_slowest = 0;
  double images_per_s = 0;
  int64_t peak_memory_bytes = 0;  // of the process so far
};

/// Every combination of the request. The settings are visited in turn, round after round, so that a
/// slow minute of the machine falls on all of them alike. `base` gives everything the request
/// does not.
std::vector<StepBenchResult> bench_step(const Config& base, const StepBenchRequest& request);

}  // namespace cdsp
