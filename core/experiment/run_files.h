// The tables of a run's folder: their columns, and one function per file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/csv.h"
#include "config/config.h"
#include "eval/evaluation.h"
#include "experiment/run_directory.h"
#include "experiment/train_run.h"

namespace cdsp {

CsvRow metrics_header(const std::vector<std::string>& tasks);
CsvRow metrics_row(const StepMetrics& metrics);

CsvRow timing_header();
CsvRow timing_row(int64_t step, double seconds, double images_per_second);

CsvRow epochs_header(const std::vector<std::string>& tasks);
CsvRow epochs_row(const EpochRecord& record);

/// layer, task, expert_0 ... of a routing table.
std::string routing_csv(const RoutingTable& routing, const std::vector<std::string>& tasks);
/// layer, expert, expert_0 ... of one matrix a layer.
std::string matrices_csv(const std::vector<std::vector<std::vector<double>>>& matrices);

/// routing/epoch_NNN.{json,csv}, and for a variant with a topology topology/ and
/// conflict/epoch_NNN.csv.
void write_epoch_files(const RunDirectory& directory, const Config& config, const Trainer& trainer,
                       const EpochRecord& record);

/// summary.json: the run's results in one place, without any clock.
void write_summary(const RunDirectory& directory, const Config& config, const Trainer& trainer,
                   const EpochRecord& record);

/// The measures of spec section 10 that a routing table has, per layer, as JSON.
nlohmann::json routing_measures_json(const RoutingTable& routing);

}  // namespace cdsp
