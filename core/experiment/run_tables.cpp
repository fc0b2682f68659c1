#include "experiment/run_tables.h"

#include <cstdio>

#include "base/error.h"

namespace cdsp {
namespace fs = std::filesystem;

std::vector<std::vector<std::vector<double>>> read_layer_tables(const fs::path& file) {
  const CsvTable table(file);
  const std::vector<double> layers = table.numbers("layer");
  std::vector<std::vector<double>> columns;
  for (const std::string& name : table.columns()) {
    if (name.rfind("expert_", 0) == 0) columns.push_back(table.numbers(name));
  }
  std::vector<std::vector<std::vector<double>>> result;
  for (size_t row = 0; row < table.rows(); ++row) {
    if (row == 0 || layers[row] != layers[row - 1]) result.emplace_back();
    std::vector<double> values;
    values.reserve(columns.size());
    for (const auto& column : columns) values.push_back(column[row]);
    result.back().push_back(std::move(values));
  }
  if (result.empty() || columns.empty())
    throw InputError(file.string() + ": holds no table of experts");
  return result;
}

fs::path epoch_table(const fs::path& folder, int64_t epoch) {
  char name[32];
  std::snprintf(name, sizeof name, "epoch_%03lld.csv", static_cast<long long>(epoch));
  return folder / name;
}

std::optional<fs::path> missing_file_of_run(const fs::path& run, const Config& config) {
  std::vector<fs::path> files = {run / "summary.json", run / "metrics.csv", run / "epochs.csv"};
  if (fs::exists(files.back())) {
    for (const double number : CsvTable(files.back()).numbers("epoch")) {
      const auto epoch = static_cast<int64_t>(number);
      files.push_back(epoch_table(run / "routing", epoch));
      files.push_back(epoch_table(run / "routing", epoch).replace_extension(".json"));
      if (config.variant != Variant::kCdsp) continue;
      files.push_back(epoch_table(run / "topology", epoch));
      files.push_back(epoch_table(run / "conflict", epoch));
    }
  }
  for (const fs::path& file : files) {
    if (!fs::exists(file)) return file;
  }
  return std::nullopt;
}

}  // namespace cdsp
