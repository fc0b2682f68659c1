// The whole program against numbers of an independent implementation (tests/reference).
#include <cstdlib>
#include <filesystem>
#include <string>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "model/safetensors.h"
#include "support/background_program.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp::test;

constexpr double kTolerance = 1e-7;  // relative

}  // namespace

TEST_CASE("train and blind-eval reproduce a golden case", "[app]") {
  const TemporaryFolder folder;
  fs::copy(fs::path(CDSP_TEST_SOURCE_DIR) / "golden" / "cdsp-paper", folder.path(),
           fs::copy_options::recursive);
  const Surroundings inside{folder.path(), {}};
  const auto trained = run_program_in(inside, {"train", "--config", "config.yaml", "--out", "run"});
  INFO(trained.errors);
  REQUIRE(trained.exit_code == 0);
  const auto judged = run_program_in(inside, {"blind-eval", "--run", "run", "--json"});
  INFO(judged.errors);
  REQUIRE(judged.exit_code == 0);
  const auto expected = nlohmann::json::parse(cdsp::read_file(folder.path() / "expected.json"));

  const auto rows = csv_cells(folder.path() / "run" / "metrics.csv");
  REQUIRE(rows.size() == 1 + expected.at("steps").size());
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto& step = expected.at("steps")[i - 1];
    for (size_t column = 0; column < rows[0].size(); ++column) {
      if (!step.contains(rows[0][column])) continue;
      CAPTURE(i, rows[0][column]);
      CHECK(std::strtod(rows[i][column].c_str(), nullptr) ==
            Catch::Approx(step[rows[0][column]].get<double>()).epsilon(kTolerance).margin(1e-12));
    }
  }

  const auto found =
      cdsp::read_safetensors(folder.path() / "run" / "checkpoints" / "last" / "model.safetensors");
  const auto wanted = cdsp::read_safetensors(folder.path() / "final.safetensors");
  REQUIRE(found.tensors.size() == wanted.tensors.size());
  for (const auto& [name, tensor] : wanted.tensors) {
    CAPTURE(name);
    CHECK(at::allclose(found.tensors.at(name), tensor, kTolerance, 1e-10));
  }

  const auto protocols = nlohmann::json::parse(judged.output).at("protocols");
  for (const auto& [name, values] : expected.at("eval").items()) {
    CAPTURE(name);
    const auto numbers = protocols.at(name).flatten();
    const auto wanted_numbers = values.flatten();
    for (const auto& [place, value] : wanted_numbers.items()) {
      CAPTURE(place);
      CHECK(numbers.at(place).get<double>() ==
            Catch::Approx(value.get<double>()).epsilon(kTolerance).margin(1e-12));
    }
  }
}
