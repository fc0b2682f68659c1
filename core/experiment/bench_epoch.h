// Where the wall time of an epoch goes: steps, and what is not arithmetic: taking batches out of
// the data, metrics, logging; after the steps, evaluation and files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

struct EpochBenchRequest {
  std::vector<Variant> variants = {Variant::kBaseline, Variant::kCdsp};
  int64_t images = 12000;      // of training, all tasks together
  int64_t test_images = 3000;  // all tasks together
  int64_t batch = 128;
  int64_t threads = 0;  // 0 = all cores
  int64_t repeats = 3;  // epochs; the median of each figure counts
};

/// Milliseconds of one epoch of a real run (experiment/train_run.h) in a folder of its own, images
/// in memory from the start. Logging is measured inside the run, from the end of a step to the end
/// of its row. Data and metrics are part of a step and measured apart from it: the functions that a
/// step calls for them, on its shapes, as often as an epoch calls them.
struct EpochBenchResult {
  std::string variant;
  int64_t images = 0, steps = 0, test_images = 0, batch = 0, threads = 0;
  double epoch_ms = 0;       // all of it
  double steps_ms = 0;       // training, with data and metrics, without logging
  double data_ms = 0;        // order, task dropout, gathering; patches with engine reference
  double metrics_ms = 0;     // losses, accuracies, sparsity, entropy of every step
  double logging_ms = 0;     // rows of metrics.csv and timing.csv
  double evaluation_ms = 0;  // evaluate() on the test images, measured apart
  double files_ms = 0;       // the epoch's files and the checkpoint
  /// 100 (data + metrics + logging) / epoch.
  double overhead_percent = 0;
  /// Test images a second over training images a second.
  double evaluation_speed = 0;
};

std::vector<EpochBenchResult> bench_epoch(const Config& base, const EpochBenchRequest& request);

}  // namespace cdsp
