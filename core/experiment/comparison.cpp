#include "experiment/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_number.h"
#include "eval/routing_measures.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr double kNotDefined = std::numeric_limits<double>::quiet_NaN();

double mean_of_finite(const std::vector<double>& values) {
  double sum = 0, count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : kNotDefined;
}

/// The measures of a layer-0 table, under names that begin with `prefix`.
void add_routing(Measures& measures, const std::string& prefix, const RoutingRows& table) {
  measures.set(prefix + "separation_index", separation_index(table));
  measures.set(prefix + "nmi", normalised_mutual_information(table));
  measures.set(prefix + "specialisation", mean_of_finite(task_entropy_of_experts(table)));
  measures.set(prefix + "load_cv2", load_cv2(table));
  for (size_t a = 0; a < table.size(); ++a) {
    for (size_t b = a + 1; b < table.size(); ++b) {
      const std::string pair = "_" + std::to_string(a) + "_" + std::to_string(b);
      measures.set(prefix + "jensen_shannon" + pair, jensen_shannon(table[a], table[b]));
      measures.set(prefix + "total_variation" + pair, total_variation(table[a], table[b]));
      measures.set(prefix + "pearson" + pair, pearson(table[a], table[b]));
    }
  }
}

/// Mean of the entries |S_i and S_j| / r with i != j, over layers.
double mean_rank_overlap(const nlohmann::json& layers) {
  double sum = 0, count = 0;
  for (const auto& layer : layers) {
    for (size_t i = 0; i < layer.size(); ++i) {
      for (size_t j = 0; j < layer.size(); ++j) {
        if (i == j) continue;
        sum += layer[i].at(j).get<double>();
        ++count;
      }
    }
  }
  return count > 0 ? sum / count : kNotDefined;
}

void read_summary(const nlohmann::json& summary, ComparedRun& run) {
  const auto &train = summary.at("train"), &test = summary.at("test");
  for (const char* name : {"loss", "accuracy"}) {
    run.measures.set(std::string("train_") + name, train.at(name).get<double>());
    run.measures.set(std::string("test_") + name, test.at(name).get<double>());
  }
  for (const auto& value : train.at("task_accuracy"))
    run.task_train_accuracy.push_back(number_from_json(value));
  test.at("task_accuracy").get_to(run.task_test_accuracy);
}

void read_topology(const nlohmann::json& summary, Measures& measures) {
  if (!summary.contains("topology")) return;
  const auto& topology = summary.at("topology");
  measures.set("alpha_sparsity", topology.at("alpha_sparsity").get<double>());
  measures.set("structural_entropy", topology.at("structural_entropy").get<double>());
  measures.set("rank_overlap", mean_rank_overlap(topology.at("rank_overlap")));
}

void read_blind_eval(const nlohmann::json& judged, ComparedRun& run) {
  const auto &informed = judged.at("protocols").at("informed"),
             &blind = judged.at("protocols").at("blind");
  const auto& metrics = judged.at("metrics").at("blind");
  informed.at("routing").get_to(run.informed_routing);
  blind.at("routing").get_to(run.blind_routing);
  blind.at("accuracy").get_to(run.task_blind_accuracy);
  Measures& measures = run.measures;
  measures.set("blind_loss", metrics.at("loss").get<double>());
  measures.set("blind_accuracy", metrics.at("accuracy").get<double>());
  measures.set("blind_accuracy_drop",
               measures.get("test_accuracy") - measures.get("blind_accuracy"));
  add_routing(measures, "", run.informed_routing.front());
  add_routing(measures, "blind_", run.blind_routing.front());
  measures.set("route_consistency",
               mean_of_finite(metrics.at("same_route").at(0).get<std::vector<double>>()));
  measures.set("route_jaccard",
               mean_of_finite(metrics.at("route_jaccard").at(0).get<std::vector<double>>()));
}

}  // namespace

void Measures::set(const std::string& name, double value) {
  for (auto& [known, old] : values_) {
    if (known != name) continue;
    old = value;
    return;
  }
  values_.emplace_back(name, value);
}

double Measures::get(const std::string& name) const {
  for (const auto& [known, value] : values_) {
    if (known == name) return value;
  }
  return kNotDefined;
}

std::vector<PublishedFigures> published_figures(const std::vector<std::string>& tasks) {
  if (tasks != std::vector<std::string>{"mnist", "kmnist", "fashion-mnist"}) return {};
  return {{"baseline", 0.1408, 0.9514}, {"blind", 0.1722, 0.9392}, {"cdsp", 0.1469, 0.9454}};
}

ComparedRun read_compared_run(const fs::path& folder, const std::string& arm,
                              const Config& config) {
  ComparedRun run;
  run.arm = arm;
  run.variant = to_string(config.variant);
  run.seed = config.seed;
  run.folder = folder;
  fs::path file = folder / "summary.json";
  try {
    const auto summary = nlohmann::json::parse(read_file(file));
    read_summary(summary, run);
    const fs::path judged = folder / "blind_eval" / "blind_eval.json";
    file = judged;
    read_blind_eval(nlohmann::json::parse(read_file(file)), run);
    file = folder / "summary.json";
    read_topology(summary, run.measures);
  } catch (const nlohmann::json::exception& error) {
    throw InputError(file.string() + ": is not what a finished run writes: " + error.what());
  }
  if (const auto record = read_run_record(folder)) run.maker = record->maker;
  return run;
}

void add_untrained(ComparedRun& run, const UntrainedNetwork& network) {
  run.untrained = network;
  if (network.informed_routing.empty()) return;
  const RoutingRows &informed = network.informed_routing.front(),
                    &blind = network.blind_routing.front();
  run.measures.set("untrained_separation_index", separation_index(informed));
  run.measures.set("untrained_blind_separation_index", separation_index(blind));
  if (blind.size() == 3)
    run.measures.set("untrained_blind_pearson_0_2", pearson(blind[0], blind[2]));
}

void add_gaps_to_baseline(std::vector<ComparedRun>& runs) {
  for (const char* measure : {"train_accuracy", "test_accuracy"}) {
    const auto baseline = seed_values(runs, "baseline", measure);
    for (ComparedRun& run : runs) {
      for (const SeedValue& value : baseline) {
        if (value.seed == run.seed) {
          run.measures.set(std::string(measure) + "_gap_to_baseline",
                           run.measures.get(measure) - value.value);
        }
      }
    }
  }
}

Spread spread_of(const std::vector<double>& values) {
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  return {sample_mean(finite), sample_standard_deviation(finite), student_t_interval(finite),
          static_cast<int64_t>(finite.size())};
}

std::vector<SeedValue> seed_values(const std::vector<ComparedRun>& runs, const std::string& arm,
                                   const std::string& measure) {
  std::vector<SeedValue> values;
  for (const ComparedRun& run : runs) {
    if (run.arm == arm) values.push_back({run.seed, run.measures.get(measure)});
  }
  return values;
}

Spread spread_over_seeds(const std::vector<ComparedRun>& runs, const std::string& arm,
                         const std::string& measure) {
  return spread_of(values_of(seed_values(runs, arm, measure)));
}

}  // namespace cdsp
