#include "report/data/run_data.h"

#include <cstdio>
#include <regex>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "config/config.h"
#include "report/data/json_file.h"

namespace cdsp::page {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

/// layer, name, expert_0 ... -> a matrix for each layer; `names` receives the first layer's names.
Layers read_layers(const fs::path& path, std::vector<std::string>* names) {
  const CsvTable table(path);
  if (table.rows() == 0 || table.columns().size() < 3) {
    throw InputError(path.string() + ": holds no matrix");
  }
  Layers layers;
  if (names != nullptr) names->clear();
  for (size_t row = 0; row < table.rows(); ++row) {
    const double layer = table.number(row, 0);
    if (layer == static_cast<double>(layers.size())) layers.emplace_back();
    if (layers.empty() || layer != static_cast<double>(layers.size() - 1)) {
      throw InputError(path.string() + ":" + std::to_string(row + 2) +
                       ": layers must follow each other from 0");
    }
    if (names != nullptr && layers.size() == 1) names->push_back(table.text(row, 1));
    std::vector<double> values;
    for (size_t column = 2; column < table.columns().size(); ++column) {
      values.push_back(table.number(row, column));
    }
    layers.back().push_back(values);
  }
  for (const RoutingRows& rows : layers) {
    if (rows.size() != layers.front().size()) {
      throw InputError(path.string() + ": its layers differ in their number of rows");
    }
  }
  return layers;
}

/// The epochs' files below FOLDER/NAME, each handed to `take` with its epoch.
template <class Take>
void for_each_epoch(const fs::path& folder, const Take& take) {
  if (!fs::is_directory(folder)) return;
  static const std::regex pattern(R"(epoch_(\d{1,9})\.csv)");
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::smatch match;
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, match, pattern)) take(std::stoll(match[1]), entry.path());
  }
}

void read_epoch_tables(RunData& run) {
  for_each_epoch(run.folder / "routing", [&](int64_t epoch, const fs::path& path) {
    run.tables[epoch].routing = read_layers(path, &run.tasks);
  });
  for_each_epoch(run.folder / "topology", [&](int64_t epoch, const fs::path& path) {
    run.tables[epoch].topology = read_layers(path, nullptr);
  });
  for_each_epoch(run.folder / "conflict", [&](int64_t epoch, const fs::path& path) {
    run.tables[epoch].conflict = read_layers(path, nullptr);
  });
  if (run.tables.empty()) {
    run.missing.emplace_back("no epoch is finished, so there is no routing or topology to show");
  }
}

void read_record(RunData& run) {
  const fs::path path = run.folder / "run.json";
  if (!fs::exists(path)) {
    run.missing.emplace_back("there is no run.json, so its provenance is unknown");
    return;
  }
  read_json_file(path, [&](const Json& json) {
    run.status = json.at("status").get<std::string>();
    run.message = text_of(json, "message");
    for (const auto& [key, value] : json.items()) {
      if (!value.is_object()) {
        run.provenance.emplace_back(key, shown(value));
        continue;
      }
      for (const auto& [inner, text] : value.items()) {
        run.provenance.emplace_back(inner, shown(text));
      }
    }
  });
  if (run.status != "finished") {
    run.missing.push_back("it is not finished (" + run.status +
                          (run.message.empty() ? "" : ": " + run.message) +
                          "), so its figures are those reached so far");
  }
}

void read_summary(RunData& run) {
  const fs::path path = run.folder / "summary.json";
  if (!fs::exists(path)) {
    run.missing.emplace_back("there is no summary.json yet");
    return;
  }
  read_json_file(path, [&](const Json& json) {
    const Json& train = json.at("train");
    const Json& test = json.at("test");
    run.results["train_loss"] = number_of(train, "loss");
    run.results["train_accuracy"] = number_of(train, "accuracy");
    run.results["test_loss"] = number_of(test, "loss");
    run.results["test_accuracy"] = number_of(test, "accuracy");
    const Json& measures = json.at("routing_measures");
    if (!measures.empty()) {
      for (const char* name : {"separation_index", "nmi", "load_cv2"}) {
        run.results[name] = number_of(measures.front(), name);
      }
    }
    if (!json.contains("topology")) return;
    const Json& topology = json.at("topology");
    for (const char* name : {"alpha_sparsity", "structural_entropy"}) {
      run.results[name] = number_of(topology, name);
    }
    if (topology.contains("rank_overlap")) run.rank_overlap = layers_of(topology["rank_overlap"]);
  });
}

void read_blind_eval(RunData& run) {
  const fs::path path = run.folder / "blind_eval" / "blind_eval.json";
  if (!fs::exists(path)) return;
  read_json_file(path, [&](const Json& json) {
    const Json& protocols = json.at("protocols");
    const Json& metrics = json.at("metrics");
    for (const auto& [name, layers] :
         {std::make_pair("informed", &run.informed), std::make_pair("blind", &run.blind)}) {
      if (protocols.contains(name)) *layers = layers_of(protocols[name].at("routing"));
    }
    if (!protocols.contains("blind")) return;
    const Json& blind = metrics.at("blind");
    run.results["blind_accuracy"] = number_of(blind, "accuracy");
    run.results["blind_accuracy_drop"] = number_of(blind, "accuracy_drop");
    if (!run.blind.empty()) {
      run.results["blind_separation_index"] = separation_index(run.blind.front());
    }
  });
}

}  // namespace

std::string RunData::config_value(const std::string& key) const {
  for (const auto& [name, value] : config) {
    if (name == key) return value;
  }
  return "";
}

RunData read_run(const fs::path& folder) {
  RunData run;
  run.folder = folder;
  const Config config = load_config(folder / "config.yaml");
  run.config = flatten(config);
  run.seed = config.seed;
  run.arm = run.variant();
  read_record(run);
  for (const auto& [name, table] :
       {std::make_pair("metrics.csv", &run.metrics), std::make_pair("epochs.csv", &run.epochs)}) {
    if (fs::exists(folder / name)) {
      *table = CsvTable(folder / name);
    } else {
      run.missing.push_back(std::string("there is no ") + name + ", so its curves are left out");
    }
  }
  read_epoch_tables(run);
  read_summary(run);
  read_blind_eval(run);
  return run;
}

}  // namespace cdsp::page
