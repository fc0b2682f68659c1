#include "report/comparison_fixture.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "base/csv.h"
#include "base/random.h"

namespace cdsp::test {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
using Layers = std::vector<std::vector<std::vector<double>>>;

constexpr size_t kExperts = 8, kTasks = 3, kLayers = 2;
const std::vector<std::string> kTaskNames = {"mnist", "kmnist", "fashion-mnist"};

void write(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary);
  stream << content;
  if (!stream.flush()) throw std::runtime_error(file.string() + " cannot be written");
}

std::string variant_of(const std::string& arm) {
  return arm == "baseline" || arm == "blind" ? arm : "cdsp";
}

/// Numbers of one run, the same whenever they are asked for.
class Drawn {
 public:
  Drawn(const std::string& arm, int64_t seed)
      : random_(std::hash<std::string>()(arm) % 1000 + static_cast<uint64_t>(seed) * 1000,
                RandomPurpose::kTest) {}
  double uniform() { return random_.uniform(); }
  Layers routing() {
    Layers layers(kLayers);
    for (auto& rows : layers) {
      for (size_t task = 0; task < kTasks; ++task) {
        std::vector<double> row(kExperts);
        double sum = 0;
        for (double& value : row) sum += value = std::pow(uniform(), 3.0) + 1e-3;
        for (double& value : row) value /= sum;
        rows.push_back(row);
      }
    }
    return layers;
  }
  Layers matrices(double largest) {
    Layers layers(kLayers, {kExperts, std::vector<double>(kExperts)});
    for (auto& rows : layers) {
      for (auto& row : rows) {
        for (double& value : row) value = largest * uniform();
      }
    }
    return layers;
  }

 private:
  RandomStream random_;
};

std::string layers_csv(const Layers& layers, const std::vector<std::string>& names,
                       const std::string& what) {
  std::string text = "layer," + what;
  for (size_t e = 0; e < kExperts; ++e) text += ",expert_" + std::to_string(e);
  text += '\n';
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (size_t row = 0; row < layers[layer].size(); ++row) {
      text += std::to_string(layer) + "," + names[row];
      for (const double value : layers[layer][row]) text += "," + csv_number(value);
      text += '\n';
    }
  }
  return text;
}

const std::vector<std::string>& expert_names() {
  static const std::vector<std::string> names = {"0", "1", "2", "3", "4", "5", "6", "7"};
  return names;
}

void write_epoch(const fs::path& folder, const std::string& variant, int64_t epoch, Drawn& drawn) {
  char name[32];
  std::snprintf(name, sizeof name, "epoch_%03d.csv", static_cast<int>(epoch));
  write(folder / "routing" / name, layers_csv(drawn.routing(), kTaskNames, "task"));
  if (variant != "cdsp") return;
  write(folder / "topology" / name, layers_csv(drawn.matrices(1), expert_names(), "expert"));
  write(folder / "conflict" / name, layers_csv(drawn.matrices(0.03), expert_names(), "expert"));
}

std::string metrics_csv(const std::string& variant, const ComparisonShape& shape, Drawn& drawn) {
  std::string text =
      "step,epoch,images,loss_total,loss_task,loss_conflict,loss_reg,loss_balance,accuracy,"
      "accuracy_mnist,accuracy_kmnist,accuracy_fashion-mnist,alpha_sparsity,structural_entropy,"
      "grad_norm\n";
  const int64_t steps = shape.epochs * shape.steps_an_epoch;
  for (int64_t step = 1; step <= steps; ++step) {
    const double progress = static_cast<double>(step) / static_cast<double>(steps);
    const double loss = 2.3 - 1.8 * progress + 0.1 * drawn.uniform();
    text += CsvRow()
                .add(step)
                .add((step - 1) / shape.steps_an_epoch + 1)
                .add(step * 128)
                .add(loss)
                .add(loss)
                .add(variant == "cdsp" ? -20 * progress : 0.0)
                .add(0.01)
                .add(variant == "cdsp" ? 0.0 : 1.0)
                .add(0.9 * progress)
                .add(0.9 * progress)
                .add(std::string())
                .add(0.8 * progress)
                .text();
    text += variant == "cdsp"
                ? "," + csv_number(0.8 * progress) + "," + csv_number(128 - 100 * progress)
                : std::string(",,");
    text += ",2.5\n";
  }
  return text;
}

std::string epochs_csv(const ComparisonShape& shape, Drawn& drawn) {
  CsvRow heading;
  heading.add(std::string("step")).add(std::string("epoch"));
  for (const char* column : {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}) {
    heading.add(std::string(column));
    for (const std::string& task : kTaskNames) heading.add(std::string(column) + "_" + task);
  }
  std::string text = heading.text() + '\n';
  for (int64_t epoch = 1; epoch <= shape.epochs; ++epoch) {
    const double done = static_cast<double>(epoch) / static_cast<double>(shape.epochs);
    CsvRow row;
    row.add(epoch * shape.steps_an_epoch).add(epoch);
    for (const double value :
         {2 - 1.5 * done, 0.3 + 0.6 * done, 2 - 1.4 * done, 0.3 + 0.5 * done}) {
      for (size_t i = 0; i <= kTasks; ++i) row.add(value + 0.03 * drawn.uniform());
    }
    text += row.text() + '\n';
  }
  return text;
}

Json measured(double mean, int64_t seeds) {
  const bool spread = seeds > 1;
  return {{"mean", mean},
          {"std", spread ? Json(0.01) : Json(nullptr)},
          {"interval", spread ? Json({mean - 0.02, mean + 0.02}) : Json(nullptr)},
          {"seeds", seeds}};
}

Json claim_part(const std::string& name, double estimate, const std::string& verdict) {
  return {{"name", name},
          {"unit", "bits"},
          {"paired", false},
          {"threshold", 0},
          {"direction", ">"},
          {"seeds", {0, 1, 2}},
          {"values", {estimate - 0.05, estimate, estimate + 0.05}},
          {"estimate", estimate},
          {"interval", {estimate - 0.1, estimate + 0.1}},
          {"interval_bootstrap", {estimate - 0.04, estimate + 0.04}},
          {"verdict", verdict},
          {"note", verdict == "inconclusive" ? "all equal, as drawn" : ""}};
}

void write_claims(const fs::path& folder) {
  Json json = {
      {"format", 1}, {"confidence", 0.95}, {"seeds", {0, 1, 2}}, {"claims", Json::array()}};
  const auto add = [&](const char* id, const std::string& verdict, const Json& parts) {
    json["claims"].push_back({{"id", id},
                              {"title", std::string("What claim ") + id + " says"},
                              {"verdict", verdict},
                              {"sentence", "By a test it is " + verdict + "."},
                              {"parts", parts}});
  };
  add("C1", "supported",
      Json::array({claim_part("separation index, CDSP informed", 0.3, "supported")}));
  add("C2", "inconclusive",
      Json::array({claim_part("JS(0,1) - JS(1,2) at epoch 2", 0.05, "inconclusive"),
                   claim_part("JS(1,2) - JS(0,1) at the end", 0.2, "supported")}));
  add("C4", "not supported",
      Json::array({claim_part("separation index, CDSP blind", -0.2, "not supported")}));
  add("C10", "supported",
      Json::array({claim_part("accuracy behind the baseline", 0.2, "supported")}));
  json["claims"].back()["parts"][0]["unit"] = "accuracy";
  add("C11", "not measured", Json::array());
  write(folder / "claims.json", json.dump(1));
}

using Rows = std::vector<std::vector<std::string>>;

Json table(const std::string& title, const std::vector<std::string>& columns, const Rows& rows) {
  return {{"title", title}, {"columns", columns}, {"rows", rows}};
}

void write_experiments(const fs::path& folder, const ComparisonShape& shape) {
  const auto add = [&](const std::string& id, const std::vector<Json>& tables) {
    const Json json = {{"format", 1}, {"id", id}, {"title", id}, {"text", ""}, {"tables", tables}};
    write(folder / "experiments" / id / "experiment.json", json.dump(1));
  };
  const Rows by_seed = {{"0", "0.100"}, {"1", ""}};
  add("1_emergent_modularity", {table("By seed", {"seed", "separation told (bits)"}, by_seed)});
  const Rows pairs = {
      {"Pearson, mnist and kmnist", "0.120 [0.100, 0.140]", "0.910 [0.900, 0.920]"}};
  const Rows fates = {{"0", "mnist", "3"}};
  add("2_instruction_overfitting",
      {table("Layer 0 over seeds", {"measure", "told the task", "not told"}, pairs),
       table("What became of each task's expert", {"seed", "task", "expert told"}, fates)});
  Rows rows;
  std::string csv = "arm,measure,seeds,mean_difference,interval_low,interval_high\n";
  for (const std::string& arm : shape.arms) {
    if (arm == "cdsp") continue;
    rows.push_back({arm, "0.040 [-0.083, 0.163]"});
    for (const char* measure : {"separation_index", "blind_separation_index"}) {
      csv += arm + "," + measure + ",3,0.04,-0.083,0.163\n";
    }
  }
  add("3_necessity_of_conflict",
      {table("CDSP minus the arm at the same seeds", {"arm", "separation told (bits)"}, rows)});
  write(folder / "experiments" / "3_necessity_of_conflict" / "differences.csv", csv);
}

Json run_json(const std::string& arm, int64_t seed, const std::string& run_folder, Drawn& drawn) {
  Json json = {{"arm", arm}, {"variant", variant_of(arm)}, {"seed", seed}, {"folder", run_folder}};
  for (const char* measure : {"train_loss", "test_loss"}) json[measure] = 0.5 + drawn.uniform();
  for (const char* measure : {"train_accuracy", "test_accuracy", "blind_accuracy"}) {
    json[measure] = 0.7 + 0.2 * drawn.uniform();
  }
  for (const char* measure :
       {"blind_accuracy_drop", "separation_index", "blind_separation_index"}) {
    json[measure] = 0.2 * drawn.uniform();
  }
  for (const char* accuracies :
       {"task_train_accuracy", "task_test_accuracy", "task_blind_accuracy"}) {
    json[accuracies] = {0.9, 0.8, 0.7};
  }
  json["informed_routing"] = drawn.routing();
  json["blind_routing"] = drawn.routing();
  return json;
}

}  // namespace

void write_run(const fs::path& folder, const std::string& arm, int64_t seed,
               const ComparisonShape& shape) {
  Drawn drawn(arm, seed);
  const std::string variant = variant_of(arm);
  write(folder / "config.yaml", "variant: " + variant + "\nseed: " + std::to_string(seed) +
                                    (arm == "no-conflict" ? "\nconflict:\n  lambda: 0.0\n" : "\n"));
  const Json record = {{"status", "finished"},
                       {"variant", variant},
                       {"seed", seed},
                       {"parameters", 93690},
                       {"device", "cpu"},
                       {"threads", 1},
                       {"data_fingerprint", "0123456789abcdef"},
                       {"start", "2026-01-31T12:00:00Z"},
                       {"wall_seconds", 12.5},
                       {"software", {{"git_commit", "0123456789ab"}, {"libtorch", "1.13.0"}}}};
  write(folder / "run.json", record.dump(1));
  write(folder / "metrics.csv", metrics_csv(variant, shape, drawn));
  write(folder / "epochs.csv", epochs_csv(shape, drawn));
  for (int64_t epoch = 1; epoch <= shape.epochs; ++epoch)
    write_epoch(folder, variant, epoch, drawn);
  Json summary = {{"variant", variant}, {"seed", seed}, {"tasks", kTaskNames}};
  summary["train"] = {{"loss", 0.5}, {"accuracy", 0.9}};
  summary["test"] = {{"loss", 0.6}, {"accuracy", 0.8}};
  summary["routing_measures"] = {{{"separation_index", 0.1}, {"nmi", 0.4}, {"load_cv2", nullptr}}};
  if (variant == "cdsp") {
    summary["topology"] = {
        {"alpha_sparsity", 0.8}, {"structural_entropy", 28.0}, {"rank_overlap", drawn.matrices(1)}};
  }
  write(folder / "summary.json", summary.dump(1));
}

void write_comparison(const fs::path& folder, const ComparisonShape& shape) {
  Json json = {{"format", 2},         {"suite", "configs/paper"},
               {"tasks", kTaskNames}, {"seeds", Json::array()},
               {"order", shape.arms}, {"runs", Json::array()},
               {"labels", "native"},  {"train_images", {7876, 7876, 7876}}};
  json["test_images"] = {100, 100, 200};
  for (int64_t seed = 0; seed < shape.seeds; ++seed) json["seeds"].push_back(seed);
  double level = 0.95;
  for (const std::string& arm : shape.arms) {
    level -= 0.01;
    Json& entry = json["arms"][arm];
    entry["variant"] = variant_of(arm);
    entry["steps"] = shape.epochs * shape.steps_an_epoch;
    entry["epochs"] = shape.epochs;
    entry["differs_from_cdsp"] = Json::object();
    if (arm == "no-conflict") entry["differs_from_cdsp"]["conflict.lambda"] = "0.0";
    for (const char* measure :
         {"train_accuracy", "test_accuracy", "blind_accuracy", "train_loss", "test_loss"}) {
      entry["measures"][measure] = measured(level, shape.seeds);
    }
    for (const char* measure : {"test_accuracy_gap_to_baseline", "blind_accuracy_drop",
                                "separation_index", "blind_separation_index", "nmi"}) {
      entry["measures"][measure] = measured(0.94 - level, shape.seeds);
    }
    for (int64_t seed = 0; seed < shape.seeds; ++seed) {
      const std::string run_folder = arm + "/seed_" + std::to_string(seed);
      write_run(folder / run_folder, arm, seed, shape);
      Drawn drawn(arm, seed + 100);
      json["runs"].push_back(run_json(arm, seed, run_folder, drawn));
    }
  }
  json["published"] = {{"baseline", {{"loss", 0.1408}, {"accuracy", 0.9514}}},
                       {"blind", {{"loss", 0.1722}, {"accuracy", 0.9392}}},
                       {"cdsp", {{"loss", 0.1469}, {"accuracy", 0.9454}}}};
  json["linear_softmax_on_pixels"] = {{"task_train_accuracy", {0.95, 0.87, 0.89}},
                                      {"task_test_accuracy", {0.91, 0.68, 0.83}}};
  json["provenance"] = {{"commit", "0123456789ab"}, {"data_fingerprint", "0123456789abcdef"}};
  write(folder / "comparison.json", json.dump(1));
  if (shape.claims) write_claims(folder);
  if (shape.experiments) write_experiments(folder, shape);
}

void write_ablation(const fs::path& folder, const ComparisonShape& shape) {
  Json json = {{"format", 1},           {"key", "conflict.lambda"},
               {"values", {"0", "10"}}, {"config", "configs/paper/cdsp.yaml"},
               {"tasks", kTaskNames},   {"seeds", {0}},
               {"runs", Json::array()}};
  for (const char* measure : {"separation_index", "test_accuracy"}) {
    json["measures"][measure] = Json::array();
    for (const char* value : {"0", "10"}) {
      Json entry = measured(0.5, 1);
      entry["value"] = value;
      json["measures"][measure].push_back(entry);
    }
  }
  for (const char* value : {"0", "10"}) {
    const std::string run_folder = std::string("conflict.lambda=") + value + "/seed_0";
    write_run(folder / run_folder, "cdsp", 0, shape);
    json["runs"].push_back({{"value", value}, {"seed", 0}, {"folder", run_folder}});
  }
  write(folder / "ablation.json", json.dump(1));
}

void write_theory(const fs::path& folder) {
  const Json chart = {
      {"id", "law"},
      {"title", "Chance of conflict"},
      {"x", {{"label", "dimension m"}, {"log", true}}},
      {"y", {{"label", "P(cos < -0.1)"}, {"log", true}}},
      {"series",
       {{{"label", "law"}, {"x", {1, 10, 100}}, {"y", {0.4, 0.1, 0.0}}, {"style", "dashed"}},
        {{"label", "simulated"},
         {"x", {1, 10, 100}},
         {"y", {0.41, 0.12, 0.01}},
         {"low", {0.4, 0.1, 0.005}},
         {"high", {0.42, 0.14, 0.02}},
         {"style", "points"}}}}};
  const Json json = {
      {"format", 1},
      {"sections",
       {{{"id", "lemma1"},
         {"title", "Lemma 1"},
         {"text", "Conflict between independent gradients."},
         {"findings",
          {{{"statement", "Half of all pairs conflict."}, {"holds", true}, {"evidence", "0.499."}},
           {{"statement", "Real gradients follow."}, {"holds", nullptr}, {"evidence", "Open."}}}},
         {"charts", {chart}},
         {"tables",
          {{{"title", "By dimension"},
            {"columns", {"m", "P"}},
            {"rows", {{1, 0.4}, {10, 0.1}}}}}}}}}};
  write(folder / "theory.json", json.dump(1));
}

}  // namespace cdsp::test
