#include "report/data/experiment_data.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/csv_table.h"
#include "base/error.h"
#include "report/data/json_file.h"

namespace cdsp::page {
namespace fs = std::filesystem;
namespace {

std::vector<PairedDifference> read_differences(const fs::path& path) {
  std::vector<PairedDifference> differences;
  if (!fs::exists(path)) return differences;
  const CsvTable table(path);
  const auto arm = table.find("arm"), measure = table.find("measure");
  if (!arm || !measure) throw InputError(path.string() + ": has no column 'arm' or 'measure'");
  const auto seeds = table.numbers("seeds"), means = table.numbers("mean_difference");
  const auto lows = table.numbers("interval_low"), highs = table.numbers("interval_high");
  for (size_t row = 0; row < table.rows(); ++row) {
    PairedDifference difference{
        table.text(row, *arm), table.text(row, *measure), std::llround(seeds[row]), means[row], {}};
    if (std::isfinite(lows[row]) && std::isfinite(highs[row])) {
      difference.interval = {lows[row], highs[row]};
    }
    differences.push_back(difference);
  }
  return differences;
}

}  // namespace

std::vector<ExperimentData> read_experiments(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder / "experiments")) {
    for (const auto& entry : fs::directory_iterator(folder / "experiments")) {
      const fs::path file = entry.path() / "experiment.json";
      if (fs::exists(file)) files.push_back(file);
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<ExperimentData> experiments;
  for (const fs::path& file : files) {
    ExperimentData experiment;
    read_json_file(file, [&](const nlohmann::ordered_json& json) {
      experiment.id = json.at("id").get<std::string>();
      experiment.title = text_of(json, "title");
      experiment.text = text_of(json, "text");
      for (const auto& table : json.at("tables")) experiment.tables.push_back(table_of(table));
    });
    experiment.differences = read_differences(file.parent_path() / "differences.csv");
    experiments.push_back(std::move(experiment));
  }
  return experiments;
}

}  // namespace cdsp::page
