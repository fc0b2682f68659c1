// What the claims read of a finished run's folder.
#include <filesystem>
#include <string>

#include "base/error.h"
#include "experiment/claims.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

std::string run_json(const std::string& status) {
  return R"({"status": ")" + status +
         R"(", "start": "2026-01-31T12:00:00Z", "wall_seconds": 1, "resumed": 0, "steps": 4,
             "epochs": 2, "parameters": 10, "device": "cpu", "threads": 1,
             "data_fingerprint": "ab"})";
}

/// A finished run of two epochs, two experts and two layers.
fs::path write_run(const TemporaryFolder& folder) {
  folder.write("run.json", run_json("finished"));
  folder.write("config.yaml", "variant: cdsp\nseed: 3\nconflict: {lambda: 4.0}\n");
  folder.write("epochs.csv",
               "step,epoch,train_loss,train_accuracy,test_loss,test_accuracy\n"
               "2,1,2.5,0.25,2.75,0.125\n4,2,1.5,0.5,1.75,0.375\n");
  folder.write("metrics.csv",
               "step,epoch,loss_conflict,alpha_sparsity\n1,1,0,0\n3,2,-2,0.25\n4,2,-3,0");
  const std::string rows = "layer,task,expert_0,expert_1\n0,a,1,0\n0,b,0.5,0.5\n1,a,0,1\n1,b,0,1\n";
  folder.write("routing/epoch_001.csv", rows);
  folder.write("routing/epoch_002.csv",
               "layer,task,expert_0,expert_1\n0,a,0.75,0.25\n0,b,0,1\n1,a,0,1\n1,b,0,1\n");
  folder.write("topology/epoch_002.csv",
               "layer,expert,expert_0,expert_1\n0,0,0.9,0.2\n0,1,0.3,0.8\n1,0,0.5,0.5\n"
               "1,1,0.5,0.5\n");
  folder.write(
      "blind_eval/blind_eval.json",
      R"({"protocols": {"informed": {"routing": [[[0.75, 0.25], [0, 1]], [[0, 1], [0, 1]]]},
                   "blind": {"routing": [[[0.5, 0.5], [0.25, 0.75]], [[0, 1], [0, 1]]]}}})");
  return folder.path();
}

}  // namespace

TEST_CASE("a run's folder is read whole") {
  const TemporaryFolder folder;
  const ClaimRun run = read_claim_run(write_run(folder), "cdsp");
  CHECK(run.arm == "cdsp");
  CHECK(run.seed == 3);
  REQUIRE(run.epochs.size() == 2);
  CHECK(run.epochs[0].train_accuracy == 0.25);
  CHECK(run.epochs[1].train_loss == 1.5);
  CHECK(run.epochs[1].test_loss == 1.75);
  CHECK(run.epochs[1].test_accuracy == 0.375);
  CHECK(run.epochs[0].routing == RoutingRows{{1, 0}, {0.5, 0.5}});
  CHECK(run.epochs[1].routing == RoutingRows{{0.75, 0.25}, {0, 1}});
  REQUIRE(run.steps.size() == 2);  // the last line has no end yet
  CHECK(run.steps[1].loss_conflict == -2.0);
  CHECK(run.steps[1].alpha_sparsity == 0.25);
  CHECK(run.informed_routing == RoutingRows{{0.75, 0.25}, {0, 1}});
  CHECK(run.blind_routing == RoutingRows{{0.5, 0.5}, {0.25, 0.75}});
  REQUIRE(run.links.size() == 2);
  CHECK(run.links[0][1][0] == 0.3);
  bool has_lambda = false;
  for (const auto& [key, value] : run.config) {
    CHECK(key != "seed");
    CHECK(key != "train.threads");
    if (key == "conflict.lambda") has_lambda = std::stod(value) == 4.0;
  }
  CHECK(has_lambda);
}

TEST_CASE("a folder that is no finished, judged run is refused by name") {
  const TemporaryFolder folder;
  const auto message = [&] {
    return message_of<InputError>([&] { read_claim_run(folder.path(), "cdsp"); });
  };
  CHECK_THAT(message(), ContainsSubstring("holds no run of cdsp"));
  write_run(folder);
  folder.write("run.json", run_json("interrupted"));
  CHECK_THAT(message(), ContainsSubstring("the run is interrupted"));
  write_run(folder);
  fs::remove(folder.path() / "blind_eval" / "blind_eval.json");
  CHECK_THAT(message(), ContainsSubstring("cdsp blind-eval --run"));
  write_run(folder);
  folder.write("blind_eval/blind_eval.json", R"({"protocols": {}})");
  CHECK_THAT(message(), ContainsSubstring("blind_eval.json: is not what"));
  write_run(folder);
  fs::remove(folder.path() / "topology" / "epoch_002.csv");
  CHECK_THAT(message(), ContainsSubstring("epoch_002.csv"));
}
