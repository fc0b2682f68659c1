// cdsp verify theory, as a user calls it.
#include <nlohmann/json.hpp>

#include "app/finished_run.h"
#include "base/atomic_file.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/temp_dir.h"

using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("verify theory writes what it prints, and the same for the same seed", "[app]") {
  const TemporaryFolder folder;
  const auto command = [&](const std::string& out, const std::string& seed) {
    return std::vector<std::string>{"verify", "theory", "--paths",
                                    "100",    "--seed", seed,
                                    "--json", "--out",  (folder.path() / out).string()};
  };
  const auto results = run_programs({command("a", "0"), command("b", "0"), command("c", "1")});
  for (const auto& result : results) {
    CAPTURE(result.errors);
    REQUIRE(result.exit_code == 0);
  }
  CHECK(results[0].output == results[1].output);
  CHECK(results[0].output != results[2].output);
  const auto json = nlohmann::json::parse(results[0].output);
  CHECK(json == nlohmann::json::parse(cdsp::read_file(folder.path() / "a" / "theory.json")));
  REQUIRE(json["sections"].size() == 3);
  for (const auto& section : json["sections"]) {
    CAPTURE(section["id"]);
    CHECK(section["findings"].size() >= 5);
    size_t decided = 0;
    for (const auto& finding : section["findings"]) {
      CHECK((finding["holds"].is_boolean() || finding["holds"].is_null()));  // null: open
      decided += finding["holds"].is_boolean() ? 1 : 0;
    }
    CHECK(2 * decided > section["findings"].size());
    for (const auto& chart : section["charts"]) {
      CHECK(
          std::filesystem::exists(folder.path() / "a" / (chart["id"].get<std::string>() + ".csv")));
    }
  }
}

TEST_CASE("verify theory stands beside a finished run", "[app]") {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "theory").string();
  const auto results = run_programs({{"verify", "theory", "--paths", "100", "--run",
                                      finished_run().folder.string(), "--out", out},
                                     {"verify", "theory", "--run", folder.path().string(), "--out",
                                      (folder.path() / "other").string()}});
  CAPTURE(results[0].errors);
  REQUIRE(results[0].exit_code == 0);
  CHECK_THAT(results[0].output, ContainsSubstring("run: conflict persists on every link"));
  for (const char* chart : {"lemma1_run.csv", "theorem1_run.csv", "theorem2_run.csv"})
    CHECK(std::filesystem::exists(folder.path() / "theory" / chart));
  CHECK(results[1].exit_code == 2);
  CHECK_THAT(results[1].errors, ContainsSubstring("holds no run of cdsp"));
}

TEST_CASE("verify theory leaves a folder with other files alone", "[app]") {
  const TemporaryFolder folder;
  folder.write("notes.txt", "mine");
  const auto result = run_program_in({}, {"verify", "theory", "--out", folder.path().string()});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.errors, ContainsSubstring("is not empty and holds no theory.json"));
}
