// Lemma 1, Theorem 2, the run beside them, and the files.
#include "experiment/theory.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "eval/statistics.h"
#include "experiment/theory_entropy.h"
#include "experiment/theory_lemma1.h"
#include "experiment/theory_pruning.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

const TheoryFinding& finding_of(const TheorySection& section, const std::string& text) {
  for (const TheoryFinding& finding : section.findings) {
    if (finding.statement.find(text) != std::string::npos) return finding;
  }
  FAIL("no finding '" << text << "'");
  return section.findings.front();
}

/// A run of one layer and two experts over two epochs.
TheoryRun small_run() {
  TheoryRun run;
  run.config.moe.num_experts = 2;
  run.config.moe.d_base = 8;
  run.config.moe.rank = 6;
  run.config.model.layers = 1;
  run.config.model.d_model = 16;
  run.epochs = {{1, {{{0.6, 0.4}, {0.3, 0.7}}}, {{{0.0, 0.05}, {0.05, 0.0}}}},
                {2, {{{0.7, 0.05}, {0.35, 0.8}}}, {{{0.0, 0.0}, {0.02, 0.0}}}}};
  run.steps = {10, 20, 30, 40};
  run.entropy = {3.9, 3.0, 3.25, 2.0};
  return run;
}

TheorySection sample_section() {
  TheorySection section;
  section.id = "lemma1";
  section.title = "Title";
  section.findings = {{"a", true, "1"}, {"b", false, "2"}, {"c", std::nullopt, "3"}};
  section.charts = {{"first",
                     "First",
                     {"x", true},
                     {"y", false},
                     {{"one, two", {1, 2}, {3, 4}, {2, 3}, {4, 5}, "points"},
                      {"three", {1}, {2}, {}, {}, "line"}}}};
  section.tables = {{"Table", {"k", "v"}, {{"1", "2"}}}};
  return section;
}

}  // namespace

TEST_CASE("√m cos has mean 0 and variance 1 in every dimension, and is normal in a large one") {
  for (const int64_t dimension : {4, 64, 512}) {
    CAPTURE(dimension);
    std::vector<double> scaled;
    int64_t negative = 0;
    for (const double cosine : sample_cosines(dimension, 4000, 3)) {
      scaled.push_back(std::sqrt(static_cast<double>(dimension)) * cosine);
      negative += cosine < 0.0 ? 1 : 0;
    }
    CHECK(sample_mean(scaled) == Approx(0.0).margin(4.0 / std::sqrt(4000.0)));
    CHECK(*sample_standard_deviation(scaled) == Approx(1.0).margin(0.05));
    CHECK(static_cast<double>(negative) / 4000.0 == Approx(0.5).margin(0.035));
  }
  CHECK(sample_cosines(16, 5, 1) == sample_cosines(16, 5, 1));
  CHECK(sample_cosines(16, 5, 1) != sample_cosines(16, 5, 2));
}

TEST_CASE("the exact laws of the cosine, in two dimensions and in many") {
  // In the plane the angle is uniform: P(cos < -1/2) = 1/3, E[ReLU(-cos)] = 1/pi.
  CHECK(isotropic_conflict_share(2, 0.5) == Approx(1.0 / 3.0));
  CHECK(isotropic_mean_conflict(2) == Approx(1.0 / std::acos(-1.0)));
  // On the sphere cos is uniform on [-1, 1].
  CHECK(isotropic_conflict_share(3, 0.5) == Approx(0.25));
  CHECK(isotropic_mean_conflict(3) == Approx(0.25));
  CHECK(isotropic_conflict_share(4096, 0.02) ==
        Approx(normal_conflict_share(4096, 0.02)).epsilon(1e-3));
  CHECK(isotropic_mean_conflict(4096) ==
        Approx(1.0 / std::sqrt(2.0 * std::acos(-1.0) * 4096.0)).epsilon(1e-3));
  CHECK(effective_dimension(isotropic_mean_conflict(4096)) == Approx(4096.0).epsilon(1e-3));
  CHECK(normal_conflict_share(100, 0.1) == Approx(0.158655).epsilon(1e-5));
}

TEST_CASE("the entropy starts at N² bits, and settles where the law puts it") {
  PathPlan plan;
  plan.paths = 640;
  plan.steps = 2000;
  plan.stream = 1;
  plan.initial_deviation = 0.0;
  LinkDynamics dynamics;
  dynamics.regularisation = 0.05;
  dynamics.regulariser = Regulariser::kSquare;
  dynamics.noise = 2.0;
  const EntropyPaths paths = simulate_entropy(dynamics, LinkOptimizer::kSgd, plan);
  CHECK(paths.networks.size() == 10);
  CHECK(paths.mean.front() == Approx(64.0));
  // The two halves mirror each other, so one of them gives the law.
  const double law = 64.0 * gibbs_entropy(dynamics, dynamics.temperature());
  CHECK(paths.late_mean == Approx(law).margin(4.0 * paths.late_error + 0.3));
  CHECK(paths.late_mean < 40.0);
  CHECK(paths.late_mean > 1.0);
}

TEST_CASE("the stationary law by hand: a normal density for the logit penalty with A²/2") {
  LinkDynamics dynamics;
  dynamics.regularisation = 0.05;
  dynamics.regulariser = Regulariser::kSquare;
  // Cold: all links rest at A = -lambda delta / gamma = -4.
  CHECK(gibbs_entropy(dynamics, 1e-5) == Approx(link_entropy(-4.0)).epsilon(1e-3));
  dynamics.conflict = 0.0;
  CHECK(gibbs_entropy(dynamics, 1e-5) == Approx(1.0).epsilon(1e-3));
  // Symmetric, variance T / gamma = 1: E[H_b(sigma(Z))] of a standard normal Z.
  double expected = 0.0;
  for (int i = -800; i < 800; ++i) {
    const double z = (i + 0.5) * 0.01;
    expected += 0.01 * std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::acos(-1.0)) * link_entropy(z);
  }
  CHECK(gibbs_entropy(dynamics, 0.05) == Approx(expected).epsilon(1e-6));
}

TEST_CASE("shared columns follow the selection rule, ties to the lowest index") {
  // Blocks of 4; the seventh and eighth column belong to expert 1's block, the ninth to nobody.
  const auto shared = shared_columns({{0.9, 0.1}, {0.5, 0.5}, {0.1, 0.9}}, 9, 4);
  CHECK(shared[0][0] == 4);
  CHECK(shared[0][1] == 4);  // the tie goes to the lower block
  CHECK(shared[0][2] == 0);
  CHECK(shared[1][2] == shared[2][1]);
}

TEST_CASE("beside a run the findings are those of its files") {
  const TheoryRun run = small_run();
  TheoryOptions options;
  options.paths = 100;
  const TheorySection lemma = verify_lemma1(options, &run);
  CHECK_FALSE(finding_of(lemma, "can be seen in its files").holds);
  const TheoryFinding& isotropic = finding_of(lemma, "conflict as isotropic ones would");
  REQUIRE(isotropic.holds);
  // Expert 0 takes columns 0-3 and 4-5, expert 1 columns 4-7 and 0-1: four shared, m = 4 * 32.
  CHECK_THAT(isotropic.evidence, ContainsSubstring("(128 and 128 on average)"));
  CHECK_THAT(isotropic.evidence, ContainsSubstring("mean C 0.05 in epoch 1 and 0.01 in epoch 2"));
  CHECK_FALSE(*isotropic.holds);

  TheorySection pruning;
  add_pruning_of_run(pruning, run);
  CHECK_FALSE(*finding_of(pruning, "conflict persists").holds);
  const TheoryFinding& falling = finding_of(pruning, "falls from epoch to epoch");
  CHECK_FALSE(*falling.holds);  // the link 1,0 rose under conflict, 0,1 had none
  CHECK_THAT(falling.evidence, ContainsSubstring("0.0 % of 1 fell, 100.0 % rose"));
  CHECK(*finding_of(pruning, "stays pruned").holds);

  const TheorySection entropy = verify_entropy(options, &run);
  CHECK(*finding_of(entropy, "90 % of its maximum").holds);
  CHECK(*finding_of(entropy, "run: H stays above zero").holds);
  const TheoryFinding& monotone = finding_of(entropy, "from logged step to logged step");
  CHECK_FALSE(*monotone.holds);
  CHECK_THAT(monotone.evidence, ContainsSubstring("1 of 3 intervals, first at step 30"));
  const auto chart = std::find_if(entropy.charts.begin(), entropy.charts.end(),
                                  [](const TheoryChart& c) { return c.id == "theorem2_run"; });
  REQUIRE(chart != entropy.charts.end());
  CHECK(chart->series[1].x == std::vector<double>{30});
}

TEST_CASE("a link that comes back after an epoch below 0.1 is seen") {
  TheoryRun run = small_run();
  std::swap(run.epochs[0], run.epochs[1]);
  TheorySection section;
  add_pruning_of_run(section, run);
  const TheoryFinding& finding = finding_of(section, "stays pruned");
  CHECK_FALSE(*finding.holds);
  CHECK_THAT(finding.evidence, ContainsSubstring("1 times"));
}

TEST_CASE("too few paths and folders that hold no run are refused") {
  const TemporaryFolder folder;
  TheoryOptions options;
  options.paths = 99;
  CHECK_THAT(message_of<InputError>([&] { verify_theory(options); }),
             ContainsSubstring("--paths: is 99"));
  options.paths = 100;
  options.run = folder.path();
  CHECK_THAT(message_of<InputError>([&] { verify_theory(options); }),
             ContainsSubstring("holds no run of cdsp"));
  const auto write_run = [&](const std::string& status, const std::string& variant) {
    folder.write("run.json", R"({"status": ")" + status + R"(", "start": "", "wall_seconds": 1,
        "resumed": 0, "steps": 4, "epochs": 2, "parameters": 10, "device": "cpu", "threads": 1,
        "data_fingerprint": "ab"})");
    folder.write("config.yaml", "variant: " + variant + "\n");
  };
  write_run("running", "cdsp");
  CHECK_THAT(message_of<InputError>([&] { verify_theory(options); }),
             ContainsSubstring("the run is running"));
  write_run("finished", "blind");
  CHECK_THAT(message_of<InputError>([&] { verify_theory(options); }),
             ContainsSubstring("is a run of variant blind"));
}

TEST_CASE("theory.json and the charts have the shape that the report reads") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "theory";
  TheoryOptions options;
  const auto written = write_theory(out, {sample_section()}, options);
  CHECK(written == std::vector<fs::path>{out / "theory.json", out / "first.csv"});
  const auto json = nlohmann::json::parse(read_file(out / "theory.json"));
  CHECK(json["format"] == 1);
  const auto& section = json["sections"][0];
  CHECK(section["findings"][0]["holds"] == true);
  CHECK(section["findings"][1]["holds"] == false);
  CHECK(section["findings"][2]["holds"].is_null());
  CHECK(section["charts"][0]["x"]["log"] == true);
  CHECK(section["charts"][0]["series"][0]["low"] == std::vector<double>{2, 3});
  CHECK_FALSE(section["charts"][0]["series"][1].contains("low"));
  CHECK(section["tables"][0]["rows"][0][1] == "2");
  CHECK(read_file(out / "first.csv") ==
        "series,x,y,low,high\none; two,1,3,2,4\none; two,2,4,3,5\nthree,1,2,,\n");
}

TEST_CASE("an earlier theory folder is written over, another folder is refused") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "theory";
  TheorySection section = sample_section();
  write_theory(out, {section}, {});
  section.charts.front().id = "second";
  write_theory(out, {section}, {});
  CHECK(fs::exists(out / "second.csv"));
  CHECK_FALSE(fs::exists(out / "first.csv"));
  folder.write("other/notes.txt", "mine");
  CHECK_THAT(message_of<InputError>([&] { check_theory_folder(folder.path() / "other"); }),
             ContainsSubstring("is not empty and holds no theory.json"));
  CHECK_THAT(
      message_of<InputError>([&] { check_theory_folder(folder.path() / "other" / "notes.txt"); }),
      ContainsSubstring("is not a folder"));
  check_theory_folder(folder.path() / "new");
}
