// cdsp compare and cdsp blind-eval from end to end.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"
#include "train/runtime.h"

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

  // A dry run says what it would do, and does nothing.
  auto dry = compare;
  dry.insert(dry.end(), {"--seeds", "0,1", "--jobs", "4", "--dry-run"});
  const auto plan = run_program_in(inside, dry);
  CHECK(plan.exit_code == 0);
  CHECK_THAT(plan.output, ContainsSubstring("6 runs: 6 to train, 4 side by side"));
  CHECK(plan.output.find("by the runs timed") == std::string::npos);
  CHECK_FALSE(fs::exists(out));

  const auto first = run_program_in(inside, compare);
  INFO(first.errors);
  REQUIRE(first.exit_code == 0);
  for (const char* text : {"baseline", "blind", "cdsp", "linear softmax", "separation", "Table A2",
                           "cdsp report out", "not measured: C11, for want of cdsp-no-conflict"}) {
    CHECK_THAT(first.output, ContainsSubstring(text));
  }
  // Other protocols than the two are not evaluated; the paper's figures are not for these tasks.
  for (const char* text : {"forced", "95.14"}) {
    CHECK_THAT(first.output, !ContainsSubstring(text));
  }
  for (const char* name :
       {"comparison.json", "comparison.csv", "comparison.md", "claims.json", "routing.svg"}) {
    CHECK(fs::is_regular_file(out / name));
    CHECK_THAT(first.output, ContainsSubstring(std::string("out/") + name));
  }
  CHECK(fs::is_regular_file(out / "linear.json"));
  CHECK(fs::is_regular_file(out / "untrained.json"));
  CHECK_THAT(first.errors, ContainsSubstring("the networks before training"));
  CHECK(fs::is_regular_file(out / "experiments" / "1_emergent_modularity" / "experiment.json"));
  const Json json = Json::parse(cdsp::read_file(out / "comparison.json"));
  for (const char* arm : {"baseline", "blind", "cdsp"}) {
    for (const char* measure :
         {"train_loss", "test_loss", "train_accuracy", "test_accuracy", "separation_index",
          "test_accuracy_gap_to_baseline", "blind_accuracy", "blind_accuracy_drop"}) {
      CAPTURE(arm, measure);
      const Json& spread = json.at("arms").at(arm).at("measures").at(measure);
      CHECK(spread.at("mean").is_number());
      CHECK(spread.at("std").is_null());  // one seed
      CHECK(spread.at("interval").is_null());
    }
  }
  CHECK(json.at("linear_softmax_on_pixels").at("task_test_accuracy").size() == 3);
  const auto rows = csv_cells(out / "comparison.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[3][0] == "cdsp");
  const Json record = Json::parse(cdsp::read_file(out / "cdsp" / "seed_0" / "run.json"));
  CHECK(record.at("config_fingerprint").get<std::string>().size() == 64);
  CHECK(record.at("results_version").is_number_integer());

  // Nothing is trained again, and a new seed is added to what is there.
  const auto times = times_in(out / "cdsp");
  const auto second_plan = run_program_in(inside, dry);
  CHECK_THAT(second_plan.output, ContainsSubstring("3 to train, 3 to reuse"));
  CHECK_THAT(second_plan.output, ContainsSubstring("by the runs timed"));
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
  CHECK(both.at("arms").at("cdsp").at("measures").at("test_loss").at("std").is_number());

  // Over several seeds the terminal has the claims; one seed judges none of them.
  two_seeds.pop_back();
  const auto shown = run_program_in(inside, two_seeds);
  CHECK_THAT(shown.output, ContainsSubstring("C1  Told the task") && ContainsSubstring("needed") &&
                               ContainsSubstring("inconclusive"));
  CHECK_THAT(run_program_in(inside, compare).output, !ContainsSubstring("C1  Told the task"));

  // A plan warns of runs of another commit as their tables do, wherever those runs lie.
  const auto make_by_other_commit = [&](const fs::path& run) {
    Json made = Json::parse(cdsp::read_file(run / "run.json"));
    made["software"]["git_commit"] = "deadbeef0000";
    cdsp::write_file_atomically(run / "run.json", made.dump());
  };
  fs::copy(out, folder.path() / "given", fs::copy_options::recursive);
  make_by_other_commit(folder.path() / "given" / "blind" / "seed_1");
  const auto warned =
      run_program_in(inside, {"compare", "baselines", "--suite", ".", "--seeds", "0,1", "--out",
                              "new", "--from", "given", "--dry-run"});
  INFO(warned.errors);
  REQUIRE(warned.exit_code == 0);
  const auto tables = run_program_in(inside, {"compare", "baselines", "--suite", ".", "--seeds",
                                              "0,1", "--out", "new", "--from", "given"});
  INFO(tables.errors);
  REQUIRE(tables.exit_code == 0);
  const std::string warning = tables.output.substr(0, tables.output.find('\n') + 1);
  CHECK_THAT(warning, ContainsSubstring("deadbeef0000 (blind seed 1)."));
  CHECK_THAT(warned.output, Catch::Matchers::StartsWith(warning));
  CHECK_THAT(second_plan.output, !ContainsSubstring("warning"));

  // Runs of another config are neither used nor overwritten.
  auto changed = compare;
  changed.insert(changed.end(), {"--set", "optimizer.lr=0.001"});
  const auto third = run_program_in(inside, changed);
  CHECK(third.exit_code == 2);
  CHECK_THAT(third.errors, ContainsSubstring("optimizer.lr: 0.005, this one wants 0.001"));
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

TEST_CASE("compare baselines takes arms of a suite by name, and says which it wants", "[app]") {
  const TemporaryFolder folder;
  folder.write("suites/paper/baseline.yaml", tiny_yaml("baseline", 1));
  folder.write("suites/paper/blind.yaml", tiny_yaml("blind", 1));
  folder.write("suites/paper/cdsp.yaml", tiny_yaml("cdsp", 1));
  folder.write("suites/paper-controls.yaml",
               "arms:\n  baseline: {config: paper/baseline.yaml}\n"
               "  blind: {config: paper/blind.yaml}\n  cdsp: {config: paper/cdsp.yaml}\n"
               "  cdsp-no-conflict: {config: paper/cdsp.yaml, set: [conflict.lambda=0]}\n");
  const Surroundings inside{folder.path(), {}};
  const auto compare = [&](const std::string& suite, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"compare", "baselines", "--suite", suite, "--out", "out"};
    words.insert(words.end(), more.begin(), more.end());
    return run_program_in(inside, words);
  };
  const auto unknown = compare("suites/paper-controls.yaml", {"--arms", "cdsp,none"});
  CHECK(unknown.exit_code == 2);
  CHECK_THAT(
      unknown.errors,
      ContainsSubstring("has no arm 'none'; it has baseline, blind, cdsp, cdsp-no-conflict"));
  CHECK_FALSE(fs::exists(folder.path() / "out"));

  const auto first = compare("suites/paper", {"--arms", "cdsp"});
  INFO(first.errors);
  REQUIRE(first.exit_code == 0);
  CHECK_FALSE(fs::exists(folder.path() / "out" / "baseline"));
  CHECK_THAT(first.output, ContainsSubstring("not measured: C5, C6, C7, C10, C11, for want of "
                                             "baseline, blind, cdsp-no-conflict"));
  CHECK_THAT(first.output,
             ContainsSubstring("--suite suites/paper-controls.yaml --seeds 0 --out out"));
  // The advice measures what was not, with the run that is there.
  const auto second = compare("suites/paper-controls.yaml", {"--seeds", "0"});
  INFO(second.errors);
  REQUIRE(second.exit_code == 0);
  CHECK_THAT(second.errors, ContainsSubstring("cdsp seed 0: finished before"));
  CHECK(second.output.find("not measured") == std::string::npos);
}

TEST_CASE("a folder of any configs is compared and reported, also without a baseline", "[app]") {
  const TemporaryFolder folder;
  folder.write("suite/cdsp.yaml", tiny_yaml("cdsp", 1));
  folder.write("suite/gentle.yaml", "base: cdsp.yaml\nconflict: {lambda: 1}\n");
  const Surroundings inside{folder.path(), {}};
  const auto compared = run_program_in(
      inside, {"compare", "baselines", "--suite", "suite", "--seeds", "0,1", "--out", "out"});
  INFO(compared.errors);
  REQUIRE(compared.exit_code == 0);
  const fs::path out = folder.path() / "out";
  const Json json = Json::parse(cdsp::read_file(out / "comparison.json"));
  CHECK(json.at("order") == Json({"cdsp", "gentle"}));
  for (const char* arm : {"cdsp", "gentle"}) {
    const Json& measures = json.at("arms").at(arm).at("measures");
    CHECK(measures.at("test_accuracy").at("seeds") == 2);
    CHECK_FALSE(measures.contains("test_accuracy_gap_to_baseline"));
  }
  for (const Json& claim : Json::parse(cdsp::read_file(out / "claims.json")).at("claims")) {
    const std::string id = claim.at("id");
    CAPTURE(id);
    const bool needs_other_arms =
        id == "C5" || id == "C6" || id == "C7" || id == "C10" || id == "C11";
    if (needs_other_arms) {
      CHECK(claim.at("verdict") == "not measured");
      CHECK_THAT(claim.at("sentence").get<std::string>(), ContainsSubstring("no run of arm "));
    } else if (id == "C1" || id == "C4") {
      CHECK(claim.at("verdict") != "not measured");
    }
  }
  // Nothing published, and both gaps and their intervals stay empty.
  const std::string tables = cdsp::read_file(out / "comparison.md");
  const size_t row = tables.find("| gentle |");
  REQUIRE(row != std::string::npos);
  CHECK_THAT(tables.substr(row, tables.find('\n', row) - row),
             ContainsSubstring(" | - | - | - | ") && Catch::Matchers::EndsWith(" | - | - |"));
  CHECK(fs::exists(out / "experiments" / "3_necessity_of_conflict" / "differences.csv"));
  CHECK_FALSE(fs::exists(out / "experiments" / "2_instruction_overfitting"));
  const auto reported = run_program_in(inside, {"report", "out"});
  INFO(reported.errors);
  REQUIRE(reported.exit_code == 0);
  CHECK_THAT(cdsp::read_file(out / "report.html"),
             ContainsSubstring("A baseline that is told the task is not among"));

  folder.write("empty/notes.txt", "");
  const auto empty = run_program_in(inside, {"compare", "baselines", "--suite", "empty"});
  CHECK(empty.exit_code == 2);
  CHECK_THAT(empty.errors, ContainsSubstring("empty holds no *.yaml"));
}

TEST_CASE("a comparison stopped by a signal goes on to the same files", "[app]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder, 4);
  const Surroundings inside{folder.path(), {}};
  // Threads as the jobs give them, so that one run alone and two side by side have different ones.
  const auto compare = [](const std::string& out, const std::string& jobs) {
    return std::vector<std::string>{"compare",         "baselines", "--suite", ".",      "--set",
                                    "train.threads=0", "--out",     out,       "--jobs", jobs};
  };
  const auto straight = run_program_in(inside, compare("straight", "1"));
  INFO(straight.errors);
  REQUIRE(straight.exit_code == 0);

  const fs::path metrics = folder.path() / "cut" / "baseline" / "seed_0" / "metrics.csv";
  BackgroundProgram program(compare("cut", "2"), inside);
  CHECK(program.wait_until([&] { return line_count(metrics) >= 5; }));
  program.send(SIGINT);
  const auto stopped = program.wait();
  CHECK(stopped.exit_code == 130);
  CHECK(stopped.output.empty());
  CHECK_THAT(stopped.errors, ContainsSubstring("go on with the same command"));
  CHECK_FALSE(fs::exists(folder.path() / "cut" / "comparison.json"));
  const Json record = Json::parse(cdsp::read_file(metrics.parent_path() / "run.json"));
  CHECK(record.at("status") != "running");  // a checkpoint was written, or all steps were done

  const auto rest = run_program_in(inside, compare("cut", "2"));
  INFO(rest.errors);
  REQUIRE(rest.exit_code == 0);
  CHECK(files_without_clock(folder.path() / "cut") ==
        files_without_clock(folder.path() / "straight"));
}

TEST_CASE("a run that fails is named and the others are kept", "[app]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder);
  // A learning rate that the first steps blow up with.
  folder.write("diverges.yaml", "base: baseline.yaml\noptimizer: {lr: 1.0e+9, clip_norm: 0}\n");
  const auto result = run_program_in(
      {folder.path(), {}}, {"compare", "baselines", "--suite", ".", "--out", "out", "--jobs", "2"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.errors, ContainsSubstring("1 of 4 runs failed, the others are kept"));
  CHECK_THAT(result.errors, ContainsSubstring("diverges seed 0: step "));
  for (const char* arm : {"baseline", "blind", "cdsp"}) {
    CHECK(fs::exists(folder.path() / "out" / arm / "seed_0" / "blind_eval" / "blind_eval.json"));
  }
}

TEST_CASE("compare ablation runs one key at several values", "[app]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp", 1));
  const std::vector<std::string> ablation = {"compare",  "ablation", "--key",    "conflict.lambda",
                                             "--values", "0,10",     "--config", "cdsp.yaml",
                                             "--out",    "out"};
  const auto result = run_program_in({folder.path(), {}}, ablation);
  INFO(result.errors);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output, ContainsSubstring("conflict.lambda"));
  CHECK_THAT(result.output, ContainsSubstring("alpha sparsity"));
  CHECK_THAT(result.output, ContainsSubstring("cdsp report out"));
  for (const char* name : {"ablation.json", "ablation.csv", "ablation.md"}) {
    CHECK(fs::is_regular_file(folder.path() / "out" / name));
  }
  CHECK(fs::exists(folder.path() / "out" / "conflict.lambda=10" / "seed_0" / "summary.json"));
  auto wrong = ablation;
  wrong[3] = "conflict.lamda";
  const auto refused = run_program_in({folder.path(), {}}, wrong);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.errors, ContainsSubstring("conflict.lambda"));
}

TEST_CASE("a finished run of a larger machine is compared with the threads asked for", "[app]") {
  const TemporaryFolder folder;
  const fs::path moved = folder.path() / "moved";
  fs::copy(finished_run().folder, moved, fs::copy_options::recursive);
  fs::remove_all(moved / "blind_eval");
  std::string config = cdsp::read_file(moved / "config.yaml");
  const std::string threads = "threads: 1";
  config.replace(config.find(threads), threads.size(), "threads: 1024");
  cdsp::write_file_atomically(moved / "config.yaml", config);
  folder.write("suite/cdsp.yaml", tiny_yaml("cdsp"));
  const auto seed = Json::parse(cdsp::read_file(moved / "summary.json")).at("seed").dump();
  const auto results = run_programs({{"compare", "baselines", "--suite", "suite", "--seeds", seed,
                                      "--from", "moved", "--out", "out"},
                                     {"compare", "baselines", "--suite", "suite", "--set",
                                      "train.threads=1024", "--out", "no", "--dry-run"}},
                                    {folder.path(), {}});
  CHECK(results[0].errors.find("error") == std::string::npos);
  CHECK(results[0].exit_code == 0);
  CHECK(fs::exists(moved / "blind_eval" / "blind_eval.json"));
  CHECK_FALSE(fs::exists(folder.path() / "out" / "cdsp"));
  if (cdsp::most_threads() < 1024) {
    CHECK(results[1].exit_code == 2);
    CHECK_THAT(results[1].errors, ContainsSubstring("train.threads: found 1024; allowed with"));
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

TEST_CASE("without a suite and without configs here, those installed with the program are taken",
          "[app]") {
  const TemporaryFolder folder;
  for (const char* variant : {"baseline", "blind", "cdsp"})
    folder.write(std::string("share/cdsp/configs/paper/") + variant + ".yaml", tiny_yaml(variant));
  const fs::path program = folder.path() / "bin" / "cdsp", elsewhere = folder.path() / "elsewhere";
  fs::create_directory(program.parent_path());
  fs::copy_file(CDSP_BINARY, program);
  fs::create_directory(elsewhere);
  const Surroundings installed{elsewhere, {}, program};
  const auto baselines = run_program_in(installed, {"compare", "baselines", "--dry-run"});
  CHECK(baselines.exit_code == 0);
  CHECK_THAT(baselines.output, ContainsSubstring("3 runs: 3 to train"));
  const auto ablation = run_program_in(
      installed, {"compare", "ablation", "--key", "moe.top_k", "--values", "1,2", "--dry-run"});
  CHECK(ablation.exit_code == 0);
  CHECK_THAT(ablation.output, ContainsSubstring("2 runs: 2 to train"));
}
