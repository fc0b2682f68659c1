// What a comparison comes to: the measures of every run, and their statistics over seeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "eval/evaluation.h"
#include "eval/linear_probe.h"
#include "eval/statistics.h"
#include "experiment/run_directory.h"
#include "experiment/untrained.h"

namespace cdsp {

/// Numbers by name, in the order they were added.
class Measures {
 public:
  void set(const std::string& name, double value);
  /// NaN if there is none of that name.
  double get(const std::string& name) const;
  const std::vector<std::pair<std::string, double>>& all() const { return values_; }

 private:
  std::vector<std::pair<std::string, double>> values_;
};

/// One trained and judged run. Its measures (docs/config.md lists them): losses, accuracies, the
/// drop without the task; of the layer-0 routing, told the task and (names beginning with blind_)
/// not told: separation index, NMI, specialisation, load, and JS, TV and Pearson of every two
/// tasks; how much of the routing stays the same without the task; of the topology: sparsity,
/// entropy and mean rank overlap.
struct ComparedRun {
  std::string arm, variant;
  uint64_t seed = 0;
  std::filesystem::path folder;
  Measures measures;
  std::vector<double> task_train_accuracy, task_test_accuracy, task_blind_accuracy;
  RoutingTable informed_routing, blind_routing;
  RunMaker maker;
  std::optional<UntrainedNetwork> untrained;
};

struct ComparedArm {
  std::string name, variant;
  /// What its config changes against arm cdsp, without variant and seed: (key, its own value).
  std::vector<std::pair<std::string, std::string>> differs_from_cdsp;
  int64_t steps = 0, epochs = 0, batch_size = 0;  // of each of its trainings
};

struct Comparison {
  std::string suite;
  std::vector<std::string> tasks;
  std::vector<uint64_t> seeds;
  std::vector<double> train_images, test_images;  // per task
  std::string labels;                             // data.labels
  std::vector<ComparedArm> arms;
  std::vector<ComparedRun> runs;  // by arm, then seed
  LinearProbeResult linear;       // softmax regression on pixels, one per task: the yardstick
  std::vector<std::pair<std::string, std::string>> provenance;  // data, who made runs and tables
  std::vector<std::string> notes;  // what a reader of the tables must know, a sentence each
  /// A suite that has the arms which this comparison lacks; empty if none is known.
  std::filesystem::path controls;
};

/// Loss and accuracy of the paper's Table A2 (spec section 11): training figures after 10 epochs,
/// under kPublishedConditions. None for other tasks than the paper's three.
struct PublishedFigures {
  const char* arm;
  double loss, accuracy;
};
std::vector<PublishedFigures> published_figures(const std::vector<std::string>& tasks);

/// Reads what a finished and blind-evaluated run left in its folder. Throws InputError naming the
/// file that is not what a run writes.
ComparedRun read_compared_run(const std::filesystem::path& folder, const std::string& arm,
                              const Config& config);

/// Puts an untrained network beside its run, and into the run's measures (names beginning with
/// untrained_).
void add_untrained(ComparedRun& run, const UntrainedNetwork& network);

/// Adds {train,test}_accuracy_gap_to_baseline to every run whose seed arm baseline has too.
void add_gaps_to_baseline(std::vector<ComparedRun>& runs);

/// Mean over the finite values, sample standard deviation and Student's 95 % interval (neither with
/// one).
struct Spread {
  double mean = 0;  // NaN without values
  std::optional<double> std;
  std::optional<Interval> interval;
  int64_t seeds = 0;
};
Spread spread_of(const std::vector<double>& values);

/// The measure's value and seed for every run of the arm.
std::vector<SeedValue> seed_values(const std::vector<ComparedRun>& runs, const std::string& arm,
                                   const std::string& measure);
Spread spread_over_seeds(const std::vector<ComparedRun>& runs, const std::string& arm,
                         const std::string& measure);

}  // namespace cdsp
