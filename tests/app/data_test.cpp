// cdsp data, as a user calls it.
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "data/originals.h"
#include "support/catch.h"
#include "support/http_server.h"
#include "support/idx_files.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace {

using Catch::Matchers::ContainsSubstring;
using cdsp::test::ProgramResult;
using cdsp::test::quote;
using cdsp::test::run_program;
using cdsp::test::TemporaryFolder;
using cdsp::test::write_idx_task;

/// Every address but the loopback one leads to a proxy that is not there: no test leaves this
/// machine.
const std::string kLoopbackOnly =
    "http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1 ";

std::string root_option(const TemporaryFolder& folder) {
  return " --root " + quote(folder.path().string());
}

}  // namespace

TEST_CASE("data verify prints a table and exits with 0 where all is well", "[app][data]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mnist");
  write_idx_task(folder.path() / "mine");
  const ProgramResult result = run_program("data verify" + root_option(folder));
  CHECK(result.exit_code == 0);
  CHECK(result.errors.empty());
  CHECK_THAT(result.output, ContainsSubstring("task   split  images  pixels"));
  CHECK_THAT(result.output, ContainsSubstring("mine   train      40   28x28     0-9        4-4"));
  CHECK_THAT(result.output, ContainsSubstring("not the original, which has 60000"));
}

TEST_CASE("data verify --json is one JSON document", "[app][data]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mine");
  const ProgramResult result = run_program("data verify --json" + root_option(folder));
  CHECK(result.exit_code == 0);
  const auto json = nlohmann::json::parse(result.output);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["task"] == "mine");
  CHECK(json[0]["problems"].empty());
  CHECK(json[0]["splits"][0]["images"]["shape"] == nlohmann::json({40, 28, 28}));
  CHECK(json[0]["splits"][1]["class_counts"] == nlohmann::json({2, 2, 2, 2, 2, 2, 2, 2, 2, 2}));
}

TEST_CASE("data verify exits with 2 and one line per damaged file", "[app][data]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mine");
  folder.write("mine/train-images-idx3-ubyte.gz", "<html>");
  folder.write("mine/t10k-labels-idx1-ubyte.gz", "");
  const ProgramResult result = run_program("data verify" + root_option(folder));
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors, ContainsSubstring("train-images-idx3-ubyte.gz: is named .gz but"));
  CHECK_THAT(result.errors, ContainsSubstring("t10k-labels-idx1-ubyte.gz: is empty\n"));
  CHECK(run_program("data verify --root /nowhere").exit_code == 2);
}

TEST_CASE("data fetch asks the user's mirror first and keeps nothing that is not the original",
          "[app][data]") {
  const TemporaryFolder folder;
  const cdsp::test::HttpServer server([](const cdsp::test::HttpRequest&) {
    cdsp::test::HttpReply reply;
    reply.body = "something else";
    return reply;
  });
  const ProgramResult result = run_program(
      "data fetch --task kmnist --json --mirror " + server.url() + "/" + root_option(folder),
      kLoopbackOnly);
  CHECK(result.exit_code == 1);
  const auto requests = server.requests();
  REQUIRE(requests.size() == 4);
  CHECK(requests[0].path == "/kmnist/train-images-idx3-ubyte.gz");
  const auto json = nlohmann::json::parse(result.output);
  REQUIRE(json["files"].size() == 4);
  for (const auto& file : json["files"]) {
    CHECK(file["status"] == "failed");
    CHECK_THAT(file["reason"].get<std::string>(), ContainsSubstring("wrong MD5"));
  }
  CHECK(json["credits"][0] == cdsp::find_original_task("kmnist")->credit);
  CHECK(fs::is_empty(folder.path() / "kmnist"));
  CHECK_THAT(result.errors, ContainsSubstring("cdsp: error: "));
}

TEST_CASE("data fetch keeps other files of the same name and says so with exit code 2",
          "[app][data]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mnist");
  const ProgramResult result =
      run_program("--quiet data fetch --task mnist" + root_option(folder), kLoopbackOnly);
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors,
             ContainsSubstring("is there but is not the original file; move it away"));
  CHECK_THAT(result.output, ContainsSubstring("mnist/train-images-idx3-ubyte.gz: failed"));
  CHECK_THAT(result.output, ContainsSubstring("LeCun"));
}

TEST_CASE("data fetch refuses a data set that it does not know", "[app][data]") {
  const ProgramResult result = run_program("data fetch --task imagenet");
  CHECK(result.exit_code == 2);
  CHECK(result.errors ==
        "cdsp: error: --task: found \"imagenet\"; allowed: mnist, kmnist, fashion-mnist\n");
}
