// Whole training runs against the numbers of independent implementations, in float64.
//
// A case is a folder with config.yaml, data/, init.safetensors, order.txt, and what is expected of
// them: expected.json (every step's losses, gradient norm and accuracy; routing, accuracy and
// perhaps loss of every protocol afterwards) and final.safetensors. tests/golden/ holds the
// project's own; those of $CDSP_GOLDEN_DIR, or of shared/golden/ beside the checkout, are run too
// where they exist.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "eval/evaluate.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr double kTolerance = 1e-7;

/// The working directory while a case runs: its paths start there.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const fs::path& folder) : before_(fs::current_path()) {
    fs::current_path(folder);
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory() {
    std::error_code ignored;
    fs::current_path(before_, ignored);
  }

 private:
  fs::path before_;
};

std::vector<fs::path> cases_in(const fs::path& folder) {
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "expected.json")) cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

/// Folders of further cases that are not part of the project.
fs::path outside_cases() {
  if (const char* given = std::getenv("CDSP_GOLDEN_DIR")) return given;
  return fs::path(CDSP_TEST_SOURCE_DIR).parent_path().parent_path() / "shared" / "golden";
}

void check_number(const std::string& name, double found, const json& expected) {
  INFO(name);
  // Exact zeros (terms that a variant does not have) stay exact.
  CHECK(std::abs(found - expected.get<double>()) <= kTolerance * std::abs(expected.get<double>()));
}

void check_steps(Trainer& trainer, const json& steps) {
  for (const json& expected : steps) {
    INFO("step " << expected.at("step"));
    REQUIRE_FALSE(trainer.finished());
    trainer.step();
    if (trainer.at_epoch_end()) trainer.begin_epoch();
    const StepMetrics found = trainer.read_metrics();
    CHECK(found.step == expected.at("step").get<int64_t>());
    check_number("loss_total", found.loss_total, expected.at("loss_total"));
    check_number("loss_task", found.loss_task, expected.at("loss_task"));
    check_number("loss_conflict", found.loss_conflict, expected.at("loss_conflict"));
    check_number("loss_reg", found.loss_reg, expected.at("loss_reg"));
    check_number("loss_balance", found.loss_balance, expected.at("loss_balance"));
    check_number("grad_norm", found.grad_norm, expected.at("grad_norm"));
    check_number("accuracy", found.accuracy(), expected.at("accuracy"));
  }
  CHECK(trainer.finished());
}

void check_weights(const Network& network, const TensorFile& expected) {
  const TensorFile found = weights_of(network);
  CHECK(found.tensors.size() == expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    INFO(name);
    REQUIRE(found.tensors.count(name) == 1);
    CHECK(relative_error(found.tensors.at(name), tensor) < kTolerance);
  }
}

void check_protocols(const Network& network, const Dataset& data, const json& expected) {
  const auto protocols = all_protocols(data.test.tasks());
  CHECK(protocols.size() == expected.size());
  for (const Evaluation& found : evaluate(network, place(data.test, at::kCPU), protocols, 7)) {
    INFO("protocol " << found.protocol.name());
    const json& wanted = expected.at(found.protocol.name());
    CHECK(relative_error(found.accuracy, wanted.at("accuracy").get<std::vector<double>>()) < 1e-12);
    if (wanted.contains("loss")) {
      CHECK(relative_error(found.loss, wanted["loss"].get<std::vector<double>>()) < kTolerance);
    }
    const auto routing = wanted.at("routing").get<RoutingTable>();
    REQUIRE(found.routing.size() == routing.size());
    for (size_t layer = 0; layer < routing.size(); ++layer) {
      REQUIRE(found.routing[layer].size() == routing[layer].size());
      for (size_t task = 0; task < routing[layer].size(); ++task) {
        INFO("layer " << layer << ", task " << task);
        CHECK(relative_error(found.routing[layer][task], routing[layer][task]) < 1e-12);
      }
    }
  }
}

void check_case(const fs::path& folder, EngineChoice engine) {
  INFO("case " << folder.string() << ", engine " << to_string(engine));
  const WorkingDirectory inside(folder);
  Config config = load_config("config.yaml");
  config.train.engine = engine;
  // The emulated CUDA kernels with the step that a GPU would make.
  if (engine == EngineChoice::kEmulated) config.train.step = StepForm::kDevice;
  const json expected = json::parse(read_file("expected.json"));
  const Dataset data = load_dataset(config);
  Trainer trainer(config, data, at::kCPU);
  check_steps(trainer, expected.at("steps"));
  check_weights(trainer.network(), read_safetensors("final.safetensors"));
  check_protocols(trainer.network(), data, expected.at("eval"));
}

}  // namespace

TEST_CASE("the project's golden runs reproduce: every step, the final weights, every protocol") {
  const auto engine =
      GENERATE(EngineChoice::kReference, EngineChoice::kFused, EngineChoice::kEmulated);
  const auto cases = cases_in(fs::path(CDSP_TEST_SOURCE_DIR) / "golden");
  CHECK(cases.size() >= 12);
  for (const fs::path& folder : cases) check_case(folder, engine);
}

TEST_CASE("golden runs from outside the project reproduce where there are any") {
  const auto engine =
      GENERATE(EngineChoice::kReference, EngineChoice::kFused, EngineChoice::kEmulated);
  const fs::path folder = outside_cases();
  if (!fs::is_directory(folder)) {
    WARN("skipped: no folder " << folder.string() << " (CDSP_GOLDEN_DIR names another)");
    return;
  }
  const auto cases = cases_in(folder);
  CHECK_FALSE(cases.empty());
  for (const fs::path& found : cases) check_case(found, engine);
}
