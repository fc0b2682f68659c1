// How long a training step, or a batch of an evaluation, takes: median over several short
// measurements, on synthetic images; beside it the time of its matrix products alone, measured by
// turns with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "experiment/step_products.h"

namespace cdsp {

struct StepBenchRequest {
  std::vector<Variant> variants = {Variant::kBaseline, Variant::kCdsp};
  std::vector<BenchPhase> phases = {BenchPhase::kTrain};
  std::vector<int64_t> batches = {128};
  std::vector<int64_t> threads = {0};  // 0 = all cores
  std::vector<DType> dtypes = {DType::kFloat32};
  std::string device = "cpu";
  int64_t steps = 10;   // per measurement
  int64_t repeats = 5;  // measurements; the median counts
};

/// The matrix products alone, in the same rounds.
struct StepFloor {
  double ms = 0;               // median
  double images_per_s = 0;     // that the products alone would allow
  double gflop_per_step = 0;   // 1e9 floating-point operations, a multiply-add counting two
  double gflop_per_s = 0;      // of the products alone
  double percent_reached = 0;  // 100 floor / step, median over the rounds
};

struct StepBenchResult {
  std::string variant, phase, dtype, engine, device;
  std::string step;       // form of the training steps: eager, device, graph; empty: evaluation
  std::string precision;  // of the matrix products
  int64_t batch = 0, threads = 0;
  double ms_per_step = 0;  // median over the repeats
  double ms_fastest = 0, ms_slowest = 0;
  std::vector<double> ms_of_rounds;  // each repeat's
  double images_per_s = 0;
  std::optional<StepFloor> floor;  // on the CPU only
  /// For an evaluation whose training was measured too: a training step's time over its own, median
  /// over the rounds.
  std::optional<double> times_training_speed;
  int64_t peak_memory_bytes = 0;  // of the process so far
};

/// One thing to measure. Of `config`, variant, model, moe and train.batch_size count.
struct StepSetting {
  Config config;
  BenchPhase phase = BenchPhase::kTrain;
  int64_t threads = 0;
};

/// The settings in their order. They are visited in turn, round after round, so that a slow minute
/// of the machine falls on all of them alike.
std::vector<StepBenchResult> measure_steps(const std::vector<StepSetting>& settings,
                                           const std::string& device, int64_t steps,
                                           int64_t repeats);

/// Every combination of the request. `base` gives everything the request does not.
std::vector<StepBenchResult> bench_step(const Config& base, const StepBenchRequest& request);

}  // namespace cdsp
