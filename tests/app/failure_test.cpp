// Work that fails: one line, exit code 1, and what was good before is still there.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "model/safetensors.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

/// Lines of standard error that are no progress.
int64_t error_lines(const std::string& errors) {
  int64_t count = 0;
  for (size_t at = errors.find("cdsp: "); at != std::string::npos;
       at = errors.find("\ncdsp: ", at + 1)) {
    ++count;
  }
  return count;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    names.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The exit code of `cdsp REST` in a shell.
int shell(const std::string& rest) {
  const int status = std::system((quote(CDSP_BINARY) + " " + rest).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a loss that is not finite stops the run and keeps the last checkpoint", "[app]") {
  const TemporaryFolder folder;
  // With this rate the weight decay makes every weight a fifth larger at every step: fine for an
  // epoch or two, beyond float32 soon after.
  const fs::path config = folder.write("cdsp.yaml", tiny_yaml("cdsp", 40));
  const fs::path run = folder.path() / "run";
  const auto result = run_program_in({}, {"train", "--quiet", "--config", config.string(), "--out",
                                          run.string(), "--set", "optimizer.lr=220"});
  CHECK(result.exit_code == 1);
  CHECK(result.output.empty());
  CHECK(error_lines(result.errors) == 1);
  CHECK_THAT(result.errors, ContainsSubstring("is not finite"));
  CHECK_THAT(result.errors, ContainsSubstring("parameter norms: "));
  CHECK_THAT(result.errors, ContainsSubstring("blocks.0.moe.U"));

  const auto record = nlohmann::json::parse(cdsp::read_file(run / "run.json"));
  CHECK(record.at("status") == "failed");
  const int64_t taken = record.at("steps");  // the step that failed moved nothing
  CHECK_THAT(result.errors, ContainsSubstring("step " + std::to_string(taken + 1) + ": "));
  CHECK("cdsp: error: " + record.at("message").get<std::string>() + "\n" == result.errors);

  const auto checkpoint =
      cdsp::read_safetensors(run / "checkpoints" / "last" / "model.safetensors");
  const std::string kept = checkpoint.metadata.at("step");
  CHECK(std::stol(kept) <= taken);
  CHECK_THAT(result.errors, ContainsSubstring("the checkpoint of step " + kept + " is kept"));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    CAPTURE(name);
    CHECK(std::isfinite(tensor.norm().item<double>()));
  }
  CHECK(
      run_program_in({}, {"blind-eval", "--run", run.string(), "--protocol", "blind"}).exit_code ==
      0);
}

TEST_CASE("a full disk ends a run in one line, without half files", "[app]") {
  const TemporaryFolder folder;
  const fs::path config = folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  const fs::path run = folder.path() / "run";
  const auto train_with = [&](uint64_t limit) {
    const auto result = run_program_in(
        {folder.path(), limit}, {"train", "--quiet", "--config", "cdsp.yaml", "--out", "run"});
    CHECK(result.exit_code == 1);
    CHECK(result.output.empty());
    INFO(result.errors);
    CHECK(error_lines(result.errors) == 1);
    CHECK_THAT(result.errors, ContainsSubstring("failed"));
    return result;
  };

  SECTION("before the run began: nothing is left") {
    train_with(100);
    CHECK(names_in(folder.path()) == std::vector<std::string>{"cdsp.yaml"});
  }
  SECTION("in a table: it ends with a whole row") {
    CHECK_THAT(train_with(2000).errors, ContainsSubstring("metrics.csv"));
    const auto rows = csv_cells(run / "metrics.csv");
    CHECK(rows.size() > 3);
    CHECK(rows.back().size() == rows.front().size());
    CHECK(cdsp::read_file(run / "metrics.csv").back() == '\n');
  }
  SECTION("in a checkpoint: none is better than half a one") {
    CHECK_THAT(train_with(20000).errors, ContainsSubstring("checkpoints"));
    for (const std::string& name : names_in(run)) {
      CAPTURE(name);
      CHECK(name.find("partial") == std::string::npos);
      CHECK(name.find("safetensors") == std::string::npos);
    }
    CHECK(nlohmann::json::parse(cdsp::read_file(run / "run.json")).at("status") == "failed");
  }
}

TEST_CASE("a result that nobody can read is a failure", "[app]") {
  const std::string quiet = " 2>/dev/null";
  CHECK(shell("info >/dev/full" + quiet) == 1);
  CHECK(shell("info >&-" + quiet) == 1);
  CHECK(shell("--help >/dev/full" + quiet) == 1);
  CHECK(shell("config keys >/dev/full" + quiet) == 1);
}

TEST_CASE("weights of another network are refused", "[app]") {
  const FinishedRun& run = finished_run();
  const std::string weights = run.folder / "checkpoints" / "last" / "model.safetensors";
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  folder.write("baseline.yaml", tiny_yaml("baseline"));
  const Surroundings inside{folder.path(), {}};
  const auto results = run_programs(
      {{"blind-eval", "--checkpoint", weights, "--config", "baseline.yaml", "--out", "out"},
       {"blind-eval", "--checkpoint", weights, "--config", "cdsp.yaml", "--set", "model.d_model=32",
        "--out", "out"},
       {"train", "--config", "baseline.yaml", "--set", "train.init_from=" + weights, "--out",
        "out"},
       {"blind-eval", "--checkpoint", "cdsp.yaml", "--config", "cdsp.yaml", "--out", "out"}},
      inside);
  for (const ProgramResult& result : results) {
    CAPTURE(result.errors);
    CHECK(result.exit_code == 2);
    CHECK(error_lines(result.errors) == 1);
  }
  CHECK_THAT(results[0].errors, ContainsSubstring("model.safetensors"));
  CHECK_THAT(results[1].errors, ContainsSubstring("model.safetensors"));
  CHECK_THAT(results[2].errors, ContainsSubstring("model.safetensors"));
  CHECK_FALSE(fs::exists(folder.path() / "out"));
}

TEST_CASE("CUDA asked for and absent", "[app]") {
  const auto info = nlohmann::json::parse(run_program("info --json").output);
  if (info.at("cuda_devices") != 0) {
    WARN("not tested: this machine has a CUDA device");
    return;
  }
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  const auto results =
      run_programs({{"train", "--config", "cdsp.yaml", "--device", "cuda", "--out", "run"},
                    {"blind-eval", "--run", finished_run().folder.string(), "--device", "cuda:1",
                     "--out", "run"},
                    {"bench", "step", "--device", "cuda"}},
                   {folder.path(), {}});
  for (const ProgramResult& result : results) {
    CHECK(result.exit_code == 2);
    CHECK(error_lines(result.errors) == 1);
    CHECK_THAT(result.errors, ContainsSubstring("no CUDA device"));
  }
  CHECK_FALSE(fs::exists(folder.path() / "run"));
}
