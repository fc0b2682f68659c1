// A comparison from configs to files, with the runs in this process.
#include "experiment/compare_baselines.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "eval/routing_measures.h"
#include "experiment/comparison_files.h"
#include "experiment/test_launcher.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Json = nlohmann::json;
using Names = std::vector<std::string>;

ComparedRun run_of(const std::string& arm, uint64_t seed, double accuracy) {
  ComparedRun run;
  run.arm = arm;
  run.seed = seed;
  run.measures.set("test_accuracy", accuracy);
  return run;
}

/// The three variants and CDSP without conflict.
fs::path write_suite(const TemporaryFolder& folder) {
  write_tiny_suite(folder);
  return folder.write(
      "suites/controls.yaml",
      "arms:\n  baseline: {config: ../baseline.yaml}\n  blind: {config: ../blind.yaml}\n"
      "  cdsp: {config: ../cdsp.yaml}\n"
      "  cdsp-no-conflict: {config: ../cdsp.yaml, set: [conflict.lambda=0]}\n");
}

CompareOptions options_for(const fs::path& suite, const fs::path& out, TestLauncher& launcher) {
  CompareOptions options;
  options.suite = suite;
  options.out = out;
  options.jobs = 1;
  options.stop = &launcher.stop;
  return options;
}

Json json_of(const fs::path& file) { return Json::parse(read_file(file)); }

}  // namespace

TEST_CASE("spreads over seeds", "[experiment]") {
  const Spread one = spread_of({0.5});
  CHECK(one.mean == 0.5);
  CHECK_FALSE(one.std);
  CHECK_FALSE(one.interval);
  const Spread three = spread_of({1.0, 2.0, 6.0, std::nan("")});
  CHECK(three.mean == Catch::Approx(3.0));
  CHECK(*three.std == Catch::Approx(2.6457513110645906));
  CHECK(three.seeds == 3);
  CHECK(three.interval->low ==
        Catch::Approx(3.0 - 4.302652729911275 * 2.6457513110645906 / std::sqrt(3.0)));
  const Spread none = spread_of({});
  CHECK(std::isnan(none.mean));
  CHECK(none.seeds == 0);
}

TEST_CASE("gaps pair the runs of a seed", "[experiment]") {
  std::vector<ComparedRun> runs = {run_of("baseline", 0, 0.9), run_of("baseline", 1, 0.5),
                                   run_of("cdsp", 0, 0.8), run_of("cdsp", 1, 0.4),
                                   run_of("cdsp", 2, 0.1)};
  add_gaps_to_baseline(runs);
  const Spread gap = spread_over_seeds(runs, "cdsp", "test_accuracy_gap_to_baseline");
  CHECK(gap.mean == Catch::Approx(-0.1));
  CHECK(*gap.std == Catch::Approx(0.0).margin(1e-12));
  CHECK(gap.seeds == 2);
  CHECK(runs[0].measures.get("test_accuracy_gap_to_baseline") == 0.0);
  CHECK(std::isnan(runs[4].measures.get("test_accuracy_gap_to_baseline")));
}

TEST_CASE("a comparison cut off and continued gives the files of one that was not",
          "[experiment]") {
  const TemporaryFolder folder;
  const fs::path suite = write_suite(folder), straight = folder.path() / "straight",
                 cut = folder.path() / "cut";
  TestLauncher launcher;
  QueueObserver observer;
  auto comparison =
      compare_baselines(options_for(suite, straight, launcher), launcher.in_process(), observer);
  REQUIRE(comparison);
  write_comparison(*comparison, straight);
  CHECK(launcher.started.size() == 8);
  CHECK(launcher.started.front() == "train cdsp seed 0");  // of a seed the longest first

  TestLauncher cut_off;
  cut_off.cut_off = "baseline seed 0";
  cut_off.cut_off_at = 7;
  CHECK_FALSE(compare_baselines(options_for(suite, cut, cut_off), cut_off.in_process(), observer));
  CHECK(cut_off.started == Names{"train cdsp seed 0", "evaluate cdsp seed 0",
                                 "train cdsp-no-conflict seed 0",
                                 "evaluate cdsp-no-conflict seed 0", "train baseline seed 0"});

  TestLauncher going_on;
  auto options = options_for(suite, cut, going_on);
  const RunPlan plan = plan_comparison(options);
  CHECK(plan.runs[0].action() == std::string("continue"));
  CHECK(plan.runs[0].steps_done == 7);
  CHECK(plan.runs[1].action() == std::string("train"));
  CHECK(plan.runs[3].action() == std::string("reuse"));
  comparison = compare_baselines(options, going_on.in_process(), observer);
  REQUIRE(comparison);
  write_comparison(*comparison, cut);
  CHECK(going_on.started.front() == "train blind seed 0");  // all of it is left to do
  CHECK(going_on.started.size() == 4);
  CHECK(files_without_clock(cut) == files_without_clock(straight));

  // Once more: everything is there, the yardstick and the untrained networks too.
  TestLauncher idle;
  const auto time = fs::last_write_time(cut / "linear.json"),
             untrained_time = fs::last_write_time(cut / "untrained.json");
  CHECK(compare_baselines(options_for(suite, cut, idle), idle.in_process(), observer));
  CHECK(idle.started.empty());
  CHECK(fs::last_write_time(cut / "linear.json") == time);
  CHECK(fs::last_write_time(cut / "untrained.json") == untrained_time);

  // The runs serve another comparison that has the same arm.
  options = options_for(folder.path(), folder.path() / "other", idle);
  options.from = {cut};
  const RunPlan borrowed = plan_comparison(options);
  REQUIRE(borrowed.runs.size() == 3);
  for (const PlannedRun& run : borrowed.runs) CHECK(run.action() == std::string("reuse"));

  // A finished run that has lost a file is named before anything is trained.
  for (const char* lost : {"topology/epoch_001.csv", "summary.json"}) {
    const fs::path file = cut / "cdsp" / "seed_0" / lost;
    const std::string content = read_file(file);
    fs::remove(file);
    for (const auto& asked : {options, options_for(suite, cut, idle)}) {
      const auto complaint = message_of<InputError>([&] { plan_comparison(asked); });
      CHECK_THAT(complaint, Catch::Matchers::ContainsSubstring(file.string() + ": is missing"));
      CHECK_THAT(complaint, Catch::Matchers::ContainsSubstring("cdsp seed 0"));
    }
    write_file_atomically(file, content);
  }
}

TEST_CASE("what a comparison writes", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path suite = write_suite(folder), out = folder.path() / "out";
  TestLauncher launcher;
  QueueObserver observer;
  auto options = options_for(suite, out, launcher);
  options.seeds = {0, 1};
  const auto comparison = compare_baselines(options, launcher.in_process(), observer);
  REQUIRE(comparison);
  for (const fs::path& path : write_comparison(*comparison, out)) CHECK(fs::exists(path));

  const Json json = json_of(out / "comparison.json");
  CHECK(json.at("format") == 2);
  CHECK(json.at("order") == Json({"baseline", "blind", "cdsp", "cdsp-no-conflict"}));
  CHECK(json.at("seeds") == Json({0, 1}));
  CHECK(json.at("arms").at("cdsp-no-conflict").at("differs_from_cdsp") ==
        Json({{"conflict.lambda", "0.0"}}));
  CHECK(json.at("arms").at("baseline").at("differs_from_cdsp").empty());
  // How long and on what.
  CHECK(json.at("labels") == "native");
  CHECK(json.at("train_images").size() == 3);
  CHECK(json.at("arms").at("cdsp").at("steps") == 15);
  CHECK(json.at("arms").at("cdsp").at("epochs") == 1);
  CHECK(json.at("arms").at("cdsp").at("batch_size").get<int>() > 0);
  CHECK(json.at("linear_softmax_on_pixels").at("train_accuracy_of") == "final weights");
  // The paper's figures stand beside the paper's tasks only.
  CHECK_FALSE(json.contains("published"));
  const auto published = published_figures({"mnist", "kmnist", "fashion-mnist"});
  REQUIRE(published.size() == 3);
  CHECK(published[1].loss == 0.1722);
  CHECK(json.at("runs").size() == 8);
  CHECK(json.at("runs")[7].at("folder") == "cdsp-no-conflict/seed_1");
  CHECK(json.at("provenance").contains("data_fingerprint"));
  CHECK(json.at("provenance").contains("tables_made_by_commit"));
  CHECK(json.at("notes").empty());
  CHECK(json.at("runs")[0].at("made_by").at("commit") ==
        json.at("provenance").at("tables_made_by_commit"));
  CHECK(json.at("runs")[0].at("made_by").at("engine") == "fused");
  CHECK(json.at("runs")[0].at("specialisation_of_expert").size() == 2);
  CHECK(json.at("runs")[0].at("specialisation_of_expert")[0].size() == 8);
  for (const char* arm : {"baseline", "blind", "cdsp", "cdsp-no-conflict"}) {
    for (const char* measure : {"train_loss",
                                "test_loss",
                                "train_accuracy",
                                "test_accuracy",
                                "blind_accuracy",
                                "blind_accuracy_drop",
                                "train_accuracy_gap_to_baseline",
                                "test_accuracy_gap_to_baseline",
                                "separation_index",
                                "blind_separation_index",
                                "nmi",
                                "specialisation",
                                "load_cv2",
                                "jensen_shannon_0_2",
                                "blind_total_variation_1_2",
                                "pearson_0_1",
                                "route_consistency",
                                "route_jaccard",
                                "untrained_separation_index",
                                "untrained_blind_separation_index"}) {
      CAPTURE(arm, measure);
      const Json& spread = json.at("arms").at(arm).at("measures").at(measure);
      CHECK(spread.at("mean").is_number());
      CHECK(spread.at("std").is_number());
      CHECK(spread.at("interval").size() == 2);
      CHECK(spread.at("seeds") == 2);
    }
    const bool has_topology = json.at("arms").at(arm).at("measures").contains("alpha_sparsity");
    CHECK(has_topology == (std::string(arm).rfind("cdsp", 0) == 0));
  }
  const auto rows = csv_cells(out / "comparison.csv");
  REQUIRE(rows.size() == 9);
  CHECK(rows[5][0] == "cdsp");
  for (const auto& row : rows) CHECK(row.size() == rows[0].size());

  // Eight runs, two protocols, two layers, eight experts.
  const auto experts = csv_cells(out / "specialisation.csv");
  REQUIRE(experts.size() == 1 + 8 * 2 * 2 * 8);
  double load = 0;
  for (size_t row = 1; row <= 8; ++row) load += std::stod(experts[row][5]);
  CHECK(load == Catch::Approx(1.0));

  const Json claims = json_of(out / "claims.json");
  CHECK(claims.at("claims").size() == 11);
  // The untrained networks stand beside, and are those of untrained.json.
  const Json start = claims.at("claims")[3].at("beside")[0];
  CHECK(start.at("name") == "separation index blind, CDSP before training");
  const Json networks = json_of(out / "untrained.json").at("networks");
  REQUIRE(networks.size() == 8);
  CHECK(networks[4].at("arm") == "cdsp");
  CHECK(start.at("values")[0].get<double>() ==
        separation_index(networks[4].at("blind_routing")[0].get<RoutingRows>()));

  const fs::path experiments = out / "experiments";
  const auto page = [&](const char* name) {
    return json_of(experiments / name / "experiment.json");
  };
  for (const char* name :
       {"1_emergent_modularity", "2_instruction_overfitting", "3_necessity_of_conflict"}) {
    const Json json_page = page(name);
    CHECK_FALSE(json_page.at("tables").empty());
    for (const Json& file : json_page.at("files")) {
      const auto cells = csv_cells(experiments / name / file.at("name").get<std::string>());
      CAPTURE(name, file.at("name").get<std::string>());
      REQUIRE(cells.size() > 1);
      for (const auto& row : cells) CHECK(row.size() == cells[0].size());
    }
  }
  // Two seeds, one epoch, two layers, eight experts.
  CHECK(line_count(experiments / "1_emergent_modularity" / "topology.csv") == 1 + 2 * 2 * 8);
  CHECK(line_count(experiments / "1_emergent_modularity" / "routing.csv") == 1 + 2 * 2 * 3);
  CHECK(line_count(experiments / "1_emergent_modularity" / "topology_over_steps.csv") ==
        1 + 2 * 15);
  const auto fates = csv_cells(experiments / "2_instruction_overfitting" / "experts.csv");
  REQUIRE(fates.size() == 1 + 2 * 2 * 3);
  CHECK(Names(fates[0].end() - 3, fates[0].end()) ==
        Names{"total_variation", "jensen_shannon", "pearson"});
  // Of seed 0: layer 1, task 2. Distances and likeness of its row told and its row not told.
  const Json& baseline = json.at("runs")[0];
  const auto told = baseline.at("informed_routing")[1][2].get<std::vector<double>>(),
             not_told = baseline.at("blind_routing")[1][2].get<std::vector<double>>();
  CHECK(std::stod(fates[6].end()[-3]) == total_variation(told, not_told));
  CHECK(std::stod(fates[6].end()[-2]) == jensen_shannon(told, not_told));
  CHECK(std::stod(fates[6].end()[-1]) == pearson(told, not_told));
  const Json shown_fates = page("2_instruction_overfitting").at("tables")[1];
  CHECK(shown_fates.at("columns").back() == "Pearson");
  for (const Json& fate : shown_fates.at("rows"))
    CHECK(std::abs(std::stod(fate.back().get<std::string>())) <= 1.0);
  CHECK(line_count(experiments / "3_necessity_of_conflict" / "differences.csv") == 1 + 3 * 7);
  // An experiment that an earlier comparison left here does not stay.
  const fs::path stale = experiments / "9_of_before";
  fs::create_directories(stale);
  write_file_atomically(stale / "experiment.json", "{}\n");
  fs::create_directories(experiments / "notes");
  write_comparison(*comparison, out);
  CHECK_FALSE(fs::exists(stale));
  CHECK(fs::exists(experiments / "notes"));
  // Two of the controls are there, two are named as missing.
  CHECK(page("3_necessity_of_conflict").at("tables").back().at("rows").size() == 2);

  // With fewer arms the same folder holds nothing of the others but their runs, and says so.
  options.arms = {"cdsp"};
  launcher.started.clear();
  const auto alone = compare_baselines(options, launcher.in_process(), observer);
  REQUIRE(alone);
  CHECK(launcher.started.empty());
  write_comparison(*alone, out);
  CHECK(fs::exists(experiments / "1_emergent_modularity" / "experiment.json"));
  CHECK_FALSE(fs::exists(experiments / "2_instruction_overfitting"));
  CHECK_FALSE(fs::exists(experiments / "3_necessity_of_conflict"));
  const Json fewer = json_of(out / "comparison.json");
  CHECK(fewer.at("order") == Json({"cdsp"}));
  CHECK_THAT(fewer.at("notes")[0].get<std::string>(),
             Catch::Matchers::ContainsSubstring("not part of this: baseline/seed_0"));
  // The suite has what these arms lack, and the claims say so.
  CHECK(alone->controls == suite);
  CHECK_THAT(json_of(out / "claims.json").at("claims")[10].at("sentence").get<std::string>(),
             Catch::Matchers::ContainsSubstring("controls.yaml has it"));
}

TEST_CASE("runs of different commits stand side by side with a warning", "[experiment]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder);
  const fs::path out = folder.path() / "out";
  TestLauncher launcher;
  QueueObserver observer;
  const auto options = options_for(folder.path(), out, launcher);
  REQUIRE(compare_baselines(options, launcher.in_process(), observer));
  const fs::path record = out / "cdsp" / "seed_0" / "run.json";
  Json json = json_of(record);
  json["software"]["git_commit"] = "deadbeef0000";
  write_file_atomically(record, json.dump());
  const auto comparison = compare_baselines(options, launcher.in_process(), observer);
  REQUIRE(comparison);
  REQUIRE(comparison->notes.size() == 1);
  CHECK_THAT(comparison->notes[0],
             Catch::Matchers::ContainsSubstring("deadbeef0000 (cdsp seed 0)"));
  json["software"]["libtorch"] = "0.0.1";
  write_file_atomically(record, json.dump());
  CHECK_THAT(
      message_of<InputError>([&] { compare_baselines(options, launcher.in_process(), observer); }),
      Catch::Matchers::ContainsSubstring("with LibTorch 0.0.1"));
}

TEST_CASE("a comparison leaves runs of another config alone", "[experiment]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder);
  const fs::path out = folder.path() / "out";
  TestLauncher launcher;
  QueueObserver observer;
  auto options = options_for(folder.path(), out, launcher);
  launcher.cut_off = "baseline seed 0";
  CHECK_FALSE(compare_baselines(options, launcher.in_process(), observer));
  const auto before = files_without_clock(out);
  launcher.stop = 0;
  launcher.started.clear();
  options.overrides = {"optimizer.lr=0.001"};
  const std::string message =
      message_of<InputError>([&] { compare_baselines(options, launcher.in_process(), observer); });
  CHECK_THAT(message, Catch::Matchers::ContainsSubstring("optimizer.lr: 0.005"));
  CHECK(launcher.started.empty());
  CHECK(files_without_clock(out) == before);
}

TEST_CASE("the yardstick stops when asked to and keeps nothing then", "[experiment]") {
  const TemporaryFolder folder;
  Config config = parse_config(tiny_yaml("cdsp"), "cdsp.yaml");
  const Dataset data = load_dataset(config);
  int64_t told = 0;
  CHECK_THROWS_AS(cached_linear_probe(folder.path(), data, 10, [&](double) { return ++told < 3; }),
                  WorkError);
  CHECK(told == 3);
  CHECK_FALSE(fs::exists(folder.path() / "linear.json"));
  double last = 0;
  const auto made = cached_linear_probe(folder.path(), data, 10, [&](double share) {
    CHECK(share > last);
    last = share;
    return true;
  });
  CHECK(last == 1.0);
  CHECK(cached_linear_probe(folder.path(), data, 10, [](double) { return false; }).train_accuracy ==
        made.train_accuracy);
  // Of other data: made anew.
  config.data.glyphs_train = 30;
  CHECK_THROWS_AS(
      cached_linear_probe(folder.path(), load_dataset(config), 10, [](double) { return false; }),
      WorkError);
}
