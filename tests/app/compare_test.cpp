// cdsp compare baselines and cdsp blind-eval from end to end.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

/// When each file below the folder was last written.
std::map<std::string, fs::file_time_type> times_in(const fs::path& folder) {
  std::map<std::string, fs::file_time_type> times;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) times[entry.path().string()] = entry.last_write_time();
  }
  return times;
}

}  // namespace

TEST_CASE("compare baselines trains what is missing and takes the rest as it is", "[app]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder);
  const Surroundings inside{folder.path(), {}};
  const std::vector<std::string> compare = {"compare", "baselines", "--suite", ".", "--out", "out"};
  const fs::path out = folder.path() / "out";

  const auto first = run_program_in(inside, compare);
  INFO(first.errors);
  REQUIRE(first.exit_code == 0);
  for (const char* text : {"baseline", "blind", "cdsp", "linear softmax", "separation", "forced"}) {
    const bool shown = first.output.find(text) != std::string::npos;
    CHECK(shown == (std::string(text) != "forced"));
  }
  for (const char* name : {"comparison.json", "comparison.csv", "comparison.md", "routing.svg"}) {
    CHECK(fs::is_regular_file(out / name));
    CHECK_THAT(first.output, ContainsSubstring(std::string("out/") + name));
  }
  const Json json = Json::parse(cdsp::read_file(out / "comparison.json"));
  for (const char* variant : {"baseline", "blind", "cdsp"}) {
    for (const char* measure :
         {"train_loss", "test_loss", "train_accuracy", "test_accuracy", "separation_index",
          "test_accuracy_gap_to_baseline", "blind_accuracy", "blind_accuracy_drop"}) {
      CAPTURE(variant, measure);
      CHECK(json.at("variants").at(variant).at(measure).at("mean").is_number());
      CHECK(json.at("variants").at(variant).at(measure).at("std").is_null());  // one seed
    }
  }
  CHECK(json.at("linear_softmax_on_pixels").at("task_test_accuracy").size() == 3);
  const auto rows = csv_cells(out / "comparison.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[3][0] == "cdsp");

  // Nothing is trained again, and a new seed is added to what is there.
  const auto times = times_in(out / "cdsp");
  auto two_seeds = compare;
  two_seeds.insert(two_seeds.end(), {"--seeds", "0,1", "--json"});
  const auto second = run_program_in(inside, two_seeds);
  INFO(second.errors);
  REQUIRE(second.exit_code == 0);
  CHECK_THAT(second.errors, ContainsSubstring("cdsp seed 0: finished before"));
  const auto later_times = times_in(out / "cdsp");
  const bool untouched = std::all_of(times.begin(), times.end(), [&](const auto& entry) {
    return later_times.at(entry.first) == entry.second;
  });
  CHECK(untouched);
  const Json both = Json::parse(second.output);
  CHECK(both == Json::parse(cdsp::read_file(out / "comparison.json")));
  REQUIRE(both.at("runs").size() == 6);
  CHECK(both.at("runs")[0] == json.at("runs")[0]);
  CHECK(both.at("variants").at("cdsp").at("test_loss").at("std").is_number());

  // Runs of another config are neither used nor overwritten.
  auto changed = compare;
  changed.insert(changed.end(), {"--set", "optimizer.lr=0.001"});
  const auto third = run_program_in(inside, changed);
  CHECK(third.exit_code == 2);
  CHECK_THAT(third.errors, ContainsSubstring("optimizer.lr"));
  const bool untouched_again = times_in(out / "cdsp") == later_times;
  CHECK(untouched_again);

  // A network that never sees a task does the same under every protocol.
  const auto judged = run_program_in(
      inside, {"blind-eval", "--run", "out/blind/seed_0", "--out", "judged", "--json"});
  INFO(judged.errors);
  REQUIRE(judged.exit_code == 0);
  const Json protocols = Json::parse(judged.output).at("protocols");
  REQUIRE(protocols.size() == 5);
  for (const auto& [name, values] : protocols.items()) {
    CAPTURE(name);
    CHECK(values == protocols.at("informed"));
    CHECK(fs::is_regular_file(folder.path() / "judged" / "blind_eval" / (name + ".csv")));
  }
}

TEST_CASE("blind-eval of a run and of its weights agree", "[app]") {
  const FinishedRun& run = finished_run();
  const TemporaryFolder folder;
  const std::string weights = run.folder / "checkpoints" / "last" / "model.safetensors";
  const std::string config = run.folder / "config.yaml";
  const auto results = run_programs(
      {{"blind-eval", "--run", run.folder.string(), "--out", "a", "--protocol",
        "informed,forced-1"},
       {"blind-eval", "--checkpoint", weights, "--config", config, "--out", "b", "--protocol",
        "informed,forced-1"},
       {"blind-eval", "--run", run.folder.string(), "--out", "c", "--set", "data.glyphs_test=10"},
       {"blind-eval", "--run", run.folder.string(), "--out", "d", "--protocol", "forced-3"}},
      {folder.path(), {}});
  CHECK(results[0].exit_code == 0);
  CHECK(results[0].errors.empty());
  CHECK_THAT(results[0].output, ContainsSubstring("forced-1"));
  CHECK_THAT(results[0].output, ContainsSubstring("a/blind_eval/blind_eval.json"));
  CHECK(results[1].exit_code == 0);
  CHECK(files_without_clock(folder.path() / "a") == files_without_clock(folder.path() / "b"));

  // The same numbers as the run's own evaluation after its last epoch.
  const Json judged =
      Json::parse(cdsp::read_file(folder.path() / "a" / "blind_eval" / "blind_eval.json"));
  const Json summary = Json::parse(cdsp::read_file(run.folder / "summary.json"));
  CHECK(judged.at("protocols").at("informed").at("accuracy") ==
        summary.at("test").at("task_accuracy"));

  CHECK(results[2].exit_code == 0);
  CHECK_THAT(results[2].errors, ContainsSubstring("warning"));
  CHECK_THAT(results[2].errors, ContainsSubstring("other data"));

  CHECK(results[3].exit_code == 2);
  CHECK_THAT(results[3].errors, ContainsSubstring("forced-3"));
  CHECK_FALSE(fs::exists(folder.path() / "d"));
}
