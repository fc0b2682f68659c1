#include "experiment/fingerprint.h"

#include "data/digest.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

/// The files beside the images that decide a run's numbers, by key.
std::map<std::string, fs::path> input_files(const Config& config) {
  std::map<std::string, fs::path> files;
  if (config.data.order_file) files["data.order_file"] = *config.data.order_file;
  if (config.train.init_from) files["train.init_from"] = *config.train.init_from;
  return files;
}

std::optional<std::string> changed_input(const RunRecord& record, const Config& wanted) {
  for (const auto& [key, path] : input_files(wanted)) {
    const auto before = record.input_files.find(key);
    if (before == record.input_files.end() || !fs::is_regular_file(path)) continue;
    const std::string now = digests_of_file(path).sha256;
    if (now == before->second) continue;
    return "made with another content of " + key + " (" + path.string() + ": SHA-256 " +
           before->second + " in run.json, now " + now + ")";
  }
  return std::nullopt;
}

}  // namespace

bool shapes_results(const std::string& key) {
  return !changes_speed_only(key) && key != "data.root";
}

std::vector<KeyDifference> differing_keys(const Config& found, const Config& wanted) {
  const auto left = flatten(found), right = flatten(wanted);
  std::vector<KeyDifference> differences;
  for (size_t i = 0; i < right.size(); ++i) {
    const auto& [key, value] = right[i];
    if (shapes_results(key) && left[i].second != value)
      differences.push_back({key, left[i].second, value});
  }
  return differences;
}

std::string config_fingerprint(const Config& config) {
  std::string text;
  for (const KeyDifference& difference : differing_keys(Config{}, config)) {
    text += difference.key + ": " + difference.wanted + "\n";
  }
  Sha256 digest;
  digest.update(text.data(), text.size());
  return digest.finish();
}

std::map<std::string, std::string> input_fingerprints(const Config& config) {
  std::map<std::string, std::string> fingerprints;
  for (const auto& [key, path] : input_files(config)) {
    if (fs::is_regular_file(path)) fingerprints[key] = digests_of_file(path).sha256;
  }
  return fingerprints;
}

std::optional<std::string> mismatch_of_run(const Config& found,
                                           const std::optional<RunRecord>& record,
                                           const Config& wanted,
                                           const std::string& data_fingerprint) {
  const auto keys = differing_keys(found, wanted);
  if (!keys.empty()) {
    return "with " + keys.front().key + ": " + keys.front().found + ", this one wants " +
           keys.front().wanted;
  }
  if (!record) return std::nullopt;
  if (record->results_version != kResultsVersion) {
    return "with results_version: " + std::to_string(record->results_version) +
           ", this program's numbers are of version " + std::to_string(kResultsVersion);
  }
  if (record->data_fingerprint != data_fingerprint) {
    return "on other data (data_fingerprint: " + record->data_fingerprint + ", here " +
           data_fingerprint + ")";
  }
  const std::string expected = config_fingerprint(wanted);
  if (!record->config_fingerprint.empty() && record->config_fingerprint != expected) {
    return "whose config.yaml is not the one it was made with (config_fingerprint: " +
           record->config_fingerprint + " in run.json, " + expected + " by config.yaml)";
  }
  return changed_input(*record, wanted);
}

}  // namespace cdsp
