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

TEST_CASE("--resume with a config that does not agree names the key", "[app]") {
  const FinishedRun& run = finished_run();
  const auto result = run_program_in(
      {}, {"train", "--resume", "--out", run.folder.string(), "--set", "optimizer.lr=0.1"});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors, ContainsSubstring("optimizer.lr"));
}
