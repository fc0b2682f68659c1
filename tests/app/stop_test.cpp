// Stopping a run, on request or by force, and going on: the files come out as if nothing had
// happened.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

constexpr int kEpochs = 10;  // of 15 steps: long enough to be caught on the way

/// Starts `cdsp ARGUMENTS`, sends the signal once the run's metrics.csv has so many lines, and
/// waits.
ProgramResult stop_at(const std::vector<std::string>& arguments, const fs::path& run, size_t lines,
                      int signal) {
  BackgroundProgram program(arguments);
  CHECK(program.wait_until([&] { return line_count(run / "metrics.csv") >= lines; }));
  program.send(signal);
  return program.wait();
}

std::string status_of(const fs::path& run) {
  return nlohmann::json::parse(cdsp::read_file(run / "run.json")).at("status");
}

/// The command line that a message ends with.
std::string advised_command(const std::string& message) {
  const std::string before = "go on with: ";
  const size_t start = message.find(before) + before.size();
  return message.substr(start, message.find('\n', start) - start);
}

}  // namespace

TEST_CASE("a run that is stopped and resumed equals one that never stopped", "[app]") {
  const TemporaryFolder folder;
  const fs::path config = folder.write("cdsp.yaml", tiny_yaml("cdsp", kEpochs));
  // A blank in the name: the advised command must be quoted.
  const fs::path straight = folder.path() / "straight", run = folder.path() / "stopped run";
  const std::vector<std::string> resume = {"train", "--resume", "--out", run.string()};
  const auto train = [&](const fs::path& out) {
    return std::vector<std::string>{"train", "--config", config.string(), "--out", out.string()};
  };
  REQUIRE(run_program_in({}, train(straight)).exit_code == 0);

  const auto interrupted = stop_at(train(run), run, 5, SIGINT);
  CHECK(interrupted.exit_code == 130);
  CHECK(interrupted.output.empty());
  CHECK(status_of(run) == "interrupted");
  CHECK(advised_command(interrupted.errors) ==
        quote(CDSP_BINARY).substr(1, std::string(CDSP_BINARY).size()) + " train --resume --out " +
            quote(run.string()));

  const auto terminated = stop_at(resume, run, 40, SIGTERM);
  CHECK(terminated.exit_code == 143);
  CHECK_THAT(terminated.errors, ContainsSubstring("going on after step"));
  CHECK_THAT(terminated.errors, ContainsSubstring("go on with: "));

  const auto killed = stop_at(resume, run, 75, SIGKILL);
  CHECK(killed.exit_code == -1);
  CHECK(status_of(run) == "running");

  const std::string last = advised_command(terminated.errors) + " >/dev/null 2>&1";
  CHECK(std::system(last.c_str()) == 0);
  CHECK(status_of(run) == "finished");
  CHECK(files_without_clock(run) == files_without_clock(straight));
  CHECK(nlohmann::json::parse(cdsp::read_file(run / "run.json")).at("resumed") == 3);
}

TEST_CASE("a folder in which a run is at work is refused", "[app]") {
  const TemporaryFolder folder;
  const fs::path config = folder.write("cdsp.yaml", tiny_yaml("cdsp", 10000));
  const fs::path run = folder.path() / "run";
  BackgroundProgram busy({"train", "--config", config.string(), "--out", run.string()});
  REQUIRE(busy.wait_until([&] { return line_count(run / "metrics.csv") >= 2; }));
  const auto results =
      run_programs({{"train", "--resume", "--out", run.string()},
                    {"train", "--config", config.string(), "--out", run.string()}});
  for (const ProgramResult& result : results) {
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.errors, ContainsSubstring("another cdsp is at work in this folder"));
  }
  busy.send(SIGTERM);
  CHECK(busy.wait().exit_code == 143);
}
