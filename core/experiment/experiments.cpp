#include "experiment/experiments.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_text.h"
#include "experiment/experiments_folder.h"

namespace cdsp {
namespace fs = std::filesystem;

ExperimentFolder::ExperimentFolder(std::string id, std::string title, std::string text)
    : id_(std::move(id)), title_(std::move(title)), text_(std::move(text)) {}

void ExperimentFolder::add_csv(const std::string& name, const std::string& content,
                               const std::string& text) {
  files_.push_back({name, content, text});
}

fs::path ExperimentFolder::write(const fs::path& out, const Comparison& comparison) const {
  fs::path folder = out / "experiments" / id_;
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw WorkError(folder.string() + ": cannot be created: " + code.message());
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.path().extension() == ".csv") fs::remove(entry.path(), code);
  }
  nlohmann::ordered_json json;
  json["format"] = 1;
  json["id"] = id_;
  json["title"] = title_;
  json["text"] = text_;
  json["arms"] = arms_;
  json["seeds"] = comparison.seeds;
  json["tasks"] = comparison.tasks;
  json["files"] = nlohmann::ordered_json::array();
  for (const File& file : files_) {
    write_file_atomically(folder / file.name, file.content);
    json["files"].push_back({{"name", file.name}, {"text", file.text}});
  }
  json["tables"] = nlohmann::ordered_json::array();
  for (const ShownTable& table : tables_) {
    json["tables"].push_back(
        {{"title", table.title}, {"columns", table.columns}, {"rows", table.rows}});
  }
  write_file_atomically(folder / "experiment.json", json_text(json, 1) + "\n");
  return folder;
}

std::vector<const ComparedRun*> runs_of(const Comparison& comparison, const std::string& arm) {
  std::vector<const ComparedRun*> runs;
  for (const ComparedRun& run : comparison.runs) {
    if (run.arm == arm) runs.push_back(&run);
  }
  return runs;
}

std::string cell(double value, int decimals) {
  if (!std::isfinite(value)) return "";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string cell(const Spread& spread, int decimals, double scale) {
  if (!spread.interval) return cell(scale * spread.mean, decimals);
  return cell(scale * spread.mean, decimals) + " [" + cell(scale * spread.interval->low, decimals) +
         ", " + cell(scale * spread.interval->high, decimals) + "]";
}

std::string routing_columns(const std::string& keys, const RoutingTable& routing) {
  std::string text = keys + ",layer,task";
  for (size_t e = 0; e < routing.front().front().size(); ++e)
    text += ",expert_" + std::to_string(e);
  return text + "\n";
}

std::string routing_rows(const std::string& keys, const RoutingTable& routing,
                         const std::vector<std::string>& tasks) {
  std::string text;
  for (size_t layer = 0; layer < routing.size(); ++layer) {
    for (size_t task = 0; task < tasks.size(); ++task) {
      CsvRow row;
      row.add(keys).add(static_cast<int64_t>(layer)).add(tasks[task]);
      text += row.add(routing[layer][task]).text() + "\n";
    }
  }
  return text;
}

namespace {

/// An experiment of an earlier comparison here whose arms this one does not have.
void remove_stale(const fs::path& experiments, const std::vector<fs::path>& written) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(experiments)) {
    const bool known = std::find(written.begin(), written.end(), entry.path()) != written.end();
    if (!known && fs::exists(entry.path() / "experiment.json")) stale.push_back(entry.path());
  }
  std::error_code code;
  for (const fs::path& folder : stale) {
    fs::remove_all(folder, code);
    if (code) throw WorkError(folder.string() + ": cannot be removed: " + code.message());
  }
}

}  // namespace

std::vector<fs::path> write_experiments(const Comparison& comparison, const fs::path& out) {
  std::vector<fs::path> folders;
  for (const auto write : {write_modularity, write_overfitting, write_necessity}) {
    const fs::path folder = write(comparison, out);
    if (!folder.empty()) folders.push_back(folder);
  }
  if (fs::is_directory(out / "experiments")) remove_stale(out / "experiments", folders);
  return folders;
}

}  // namespace cdsp
