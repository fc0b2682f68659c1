// cdsp train: what a run leaves in its folder, and that equal runs are equal files.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "base/csv.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

}  // namespace

TEST_CASE("a finished run has every file of a run", "[app]") {
  const FinishedRun& run = finished_run();
  INFO(run.program.errors);
  REQUIRE(run.program.exit_code == 0);
  for (const char* name :
       {"config.yaml", "run.json", "metrics.csv", "timing.csv", "epochs.csv", "summary.json",
        "routing/epoch_001.json", "routing/epoch_002.csv", "topology/epoch_002.csv",
        "conflict/epoch_002.csv", "checkpoints/last/model.safetensors",
        "checkpoints/last/trainer.safetensors"}) {
    CHECK(fs::is_regular_file(run.folder / name));
  }
  CHECK_FALSE(fs::exists(run.folder / ".lock"));
  CHECK(line_count(run.folder / "metrics.csv") == 1 + 30);
  CHECK(line_count(run.folder / "epochs.csv") == 1 + 2);
  CHECK(line_count(run.folder / "timing.csv") == 1 + 30);
}

TEST_CASE("run.json says what ran, where and how it ended", "[app]") {
  const Json json = Json::parse(cdsp::read_file(finished_run().folder / "run.json"));
  CHECK(json.at("status") == "finished");
  CHECK(json.at("variant") == "cdsp");
  CHECK(json.at("seed") == 3);
  CHECK(json.at("steps") == 30);
  CHECK(json.at("device") == "cpu");
  CHECK(json.at("threads") == 1);
  CHECK(json.at("parameters").get<int64_t>() > 1000);
  CHECK(json.at("wall_seconds").get<double>() > 0.0);
  CHECK(json.at("start").get<std::string>().size() == std::string("2026-01-31T12:00:00Z").size());
  CHECK(json.at("data_fingerprint").get<std::string>().size() == 16);
  CHECK(json.at("peak_memory_bytes").get<int64_t>() > 1000000);
  for (const char* name : {"cdsp", "git_commit", "libtorch", "blas"}) {
    CHECK_FALSE(json.at("software").at(name).get<std::string>().empty());
  }
}

TEST_CASE("the numbers of metrics.csv read back to themselves", "[app]") {
  const auto rows = csv_cells(finished_run().folder / "metrics.csv");
  const std::vector<std::string> columns = {"step",
                                            "epoch",
                                            "images",
                                            "loss_total",
                                            "loss_task",
                                            "loss_conflict",
                                            "loss_reg",
                                            "loss_balance",
                                            "accuracy",
                                            "accuracy_strokes",
                                            "accuracy_cursive",
                                            "accuracy_objects",
                                            "alpha_sparsity",
                                            "structural_entropy",
                                            "grad_norm"};
  REQUIRE(rows.front() == columns);
  for (size_t i = 1; i < rows.size(); ++i) {
    REQUIRE(rows[i].size() == columns.size());
    CHECK(rows[i][0] == std::to_string(i));
    CHECK(rows[i][2] == std::to_string(8 * i));
    for (const std::string& cell : rows[i]) {
      if (cell.empty()) continue;  // no image of that task in the batch
      CHECK(cdsp::csv_number(std::strtod(cell.c_str(), nullptr)) == cell);
    }
  }
}

TEST_CASE("train --json prints the summary and nothing else on standard output", "[app]") {
  const FinishedRun& run = finished_run();
  Json printed = Json::parse(run.program.output);
  CHECK(printed.at("run") == run.folder.string());
  printed.erase("run");
  CHECK(printed == Json::parse(cdsp::read_file(run.folder / "summary.json")));
}

TEST_CASE("progress is plain lines where there is no terminal", "[app]") {
  const std::string& lines = finished_run().program.errors;
  CHECK_THAT(lines, ContainsSubstring("epoch 2 done"));
  CHECK(lines.find('\r') == std::string::npos);
  CHECK(lines.find('\x1b') == std::string::npos);
}

TEST_CASE("the same seed gives the same bytes, however often it is logged", "[app]") {
  const FinishedRun& first = finished_run();
  const TemporaryFolder folder;
  const std::string again = folder.path() / "again", seldom = folder.path() / "seldom",
                    other = folder.path() / "other";
  const std::vector<std::string> call = {"train", "--quiet", "--config", first.config.string()};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = call;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const auto results =
      run_programs({with({"--out", again}), with({"--out", seldom, "--set", "train.log_every=7"}),
                    with({"--out", other, "--seed", "4"})});
  for (const ProgramResult& result : results) {
    CHECK(result.exit_code == 0);
    CHECK(result.errors.empty());  // --quiet
    CHECK_THAT(result.output, ContainsSubstring("test accuracy"));
  }
  CHECK(files_without_clock(again) == files_without_clock(first.folder));

  const std::string weights = "checkpoints/last/model.safetensors";
  CHECK(cdsp::read_file(fs::path(seldom) / weights) == cdsp::read_file(first.folder / weights));
  CHECK(cdsp::read_file(fs::path(seldom) / "epochs.csv") ==
        cdsp::read_file(first.folder / "epochs.csv"));
  const auto all_rows = csv_cells(first.folder / "metrics.csv");
  const auto rows = csv_cells(fs::path(seldom) / "metrics.csv");
  REQUIRE(rows.size() == 1 + 5);  // steps 7, 14, 21, 28 and the last one
  for (size_t i = 1; i < rows.size(); ++i) CHECK(rows[i] == all_rows[std::stoul(rows[i][0])]);

  CHECK(cdsp::read_file(fs::path(other) / weights) != cdsp::read_file(first.folder / weights));
}

TEST_CASE("a folder that is not empty is left alone", "[app]") {
  const FinishedRun& run = finished_run();
  const auto before = files_without_clock(run.folder);
  const auto result =
      run_program_in({}, {"train", "--config", run.config.string(), "--out", run.folder.string()});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors, ContainsSubstring("is not empty"));
  CHECK_THAT(result.errors, ContainsSubstring("--resume"));
  CHECK(files_without_clock(run.folder) == before);
}

TEST_CASE("a summary that is damaged is an error that names it", "[app]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  fs::copy(finished_run().folder, run, fs::copy_options::recursive);
  const std::string whole = cdsp::read_file(run / "summary.json");
  for (const std::string& damaged :
       {std::string(), whole.substr(0, whole.size() / 2), std::string("{\"tasks\": [\"a\"]}")}) {
    CAPTURE(damaged);
    cdsp::write_file_atomically(run / "summary.json", damaged);
    for (const char* how : {"--quiet", "--json"}) {
      const auto result = run_program_in({}, {how, "train", "--resume", "--out", run.string()});
      CHECK(result.exit_code == 2);
      CHECK(result.output.empty());
      CHECK_THAT(result.errors,
                 ContainsSubstring("summary.json: is not what a finished run writes"));
    }
  }
}

TEST_CASE("a path that is no UTF-8 and the largest seed there is", "[app]") {
  const TemporaryFolder folder;
  folder.write("g\xff.yaml", tiny_yaml("cdsp"));
  const Surroundings inside{folder.path(), {}};
  const auto check =
      run_program_in(inside, {"--json", "config", "check", "--config", "g\xff.yaml"});
  CHECK(check.exit_code == 0);
  CHECK(Json::parse(check.output).at("file") == "g\xef\xbf\xbd.yaml");

  const auto train = run_program_in(
      inside, {"--json", "--quiet", "train", "--config", "g\xff.yaml", "--out", "bad\xfe", "--seed",
               "18446744073709551615", "--set", "train.max_steps=2"});
  CHECK(train.exit_code == 0);
  CHECK(Json::parse(train.output).at("run") == "bad\xef\xbf\xbd");
  const auto report = run_program_in(inside, {"--json", "report", "bad\xfe"});
  CHECK(report.exit_code == 0);
  CHECK(Json::parse(report.output).at("report") == "bad\xef\xbf\xbd/report.html");
  CHECK_THAT(cdsp::read_file(folder.path() / "bad\xfe" / "report.html"),
             ContainsSubstring("seed 18446744073709551615"));
}

TEST_CASE("rounding is warned of only where it can differ", "[app]") {
  const TemporaryFolder folder;
  const auto config = folder.write("cdsp.yaml", tiny_yaml("cdsp")).string();
  const auto warns = [&](const std::string& run, std::vector<std::string> begun,
                         std::vector<std::string> resumed) {
    const std::string out = folder.path() / run;
    begun.insert(begun.begin(), {"train", "--quiet", "--config", config, "--out", out, "--set",
                                 "train.max_steps=2"});
    resumed.insert(resumed.begin(), {"train", "--resume", "--out", out});
    REQUIRE(run_program_in({}, begun).exit_code == 0);
    const auto result = run_program_in({}, resumed);
    CHECK(result.exit_code == 0);
    return result.errors.find("up to rounding only") != std::string::npos;
  };
  CHECK(warns("reference", {"--set", "train.engine=reference"}, {"--threads", "2"}));
  CHECK_FALSE(warns("fused", {"--set", "train.engine=fused"}, {"--threads", "2"}));
  // The same device under its own name.
  const int64_t gpus = Json::parse(run_program("info --json").output).at("cuda_devices");
  CHECK_FALSE(warns("auto", {"--device", "auto"}, {"--device", gpus > 0 ? "cuda:0" : "cpu"}));
}

TEST_CASE("--resume with a config that does not agree names the key", "[app]") {
  const FinishedRun& run = finished_run();
  const auto result = run_program_in(
      {}, {"train", "--resume", "--out", run.folder.string(), "--set", "optimizer.lr=0.1"});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors, ContainsSubstring("optimizer.lr"));
}
