// cdsp report from end to end.
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace {

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;
namespace fs = std::filesystem;

}  // namespace

TEST_CASE("a run's report and its figures are written", "[app]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  fs::copy(finished_run().folder, run, fs::copy_options::recursive);
  const Surroundings inside{folder.path(), {}};

  const auto plain = run_program_in(inside, {"report", "run"});
  INFO(plain.errors);
  REQUIRE(plain.exit_code == 0);
  CHECK_THAT(plain.output, ContainsSubstring("written: run/report.html\n"));
  CHECK_THAT(cdsp::read_file(run / "report.html"), ContainsSubstring("there is no blind eval"));

  REQUIRE(run_program_in(inside, {"blind-eval", "--run", "run"}).exit_code == 0);
  const auto json =
      run_program_in(inside, {"report", "run", "--out", "elsewhere/page.html", "--json"});
  INFO(json.errors);
  REQUIRE(json.exit_code == 0);
  const Json result = Json::parse(json.output);
  CHECK(result.at("report") == "elsewhere/page.html");
  const std::string page = cdsp::read_file(folder.path() / "elsewhere" / "page.html");
  CHECK_THAT(page, ContainsSubstring("CDSP, task withheld"));
  REQUIRE(result.at("figures").size() > 8);
  for (const auto& name : result.at("figures")) {
    const std::string svg = cdsp::read_file(folder.path() / name.get<std::string>());
    CAPTURE(name);
    CHECK(page.find(svg) != std::string::npos);
  }
}

TEST_CASE("a folder without anything to report is refused", "[app]") {
  const TemporaryFolder folder;
  const Surroundings inside{folder.path(), {}};
  const auto results = run_programs({{"report", "."}, {"report", "nowhere"}, {"report"}}, inside);
  for (const auto& result : results) {
    CHECK(result.exit_code == 2);
    CHECK(result.output.empty());
  }
  CHECK_THAT(results[0].errors, ContainsSubstring("holds nothing to report"));
  CHECK_THAT(results[1].errors, ContainsSubstring("nowhere: is not a folder"));
  CHECK_FALSE(fs::exists(folder.path() / "report.html"));
}
