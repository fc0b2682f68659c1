// What the claims read of a finished run's folder.
#include <cmath>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "experiment/claims.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Approx;
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
  const std::string rows = "layer,task,expert_0,expert_1\n0,a,1,0\n0,b,0.5,0.5\n1,a,0,1\n1,b,0,1\n";
  folder.write("routing/epoch_001.csv", rows);
  folder.write("routing/epoch_002.csv",
               "layer,task,expert_0,expert_1\n0,a,0.75,0.25\n0,b,0,1\n1,a,0,1\n1,b,0,1\n");
  folder.write("topology/epoch_001.csv",
               "layer,expert,expert_0,expert_1\n0,0,0.5,0.5\n0,1,0.75,0.5\n1,0,0.5,0.05\n"
               "1,1,0.5,0.5\n");
  for (const char* epoch : {"conflict/epoch_001.csv", "conflict/epoch_002.csv"}) {
    folder.write(epoch, "layer,expert,expert_0,expert_1\n0,0,0,0\n0,1,0.5,0\n1,0,0,0\n1,1,0,0\n");
  }
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
  // One of eight links is below 0.1 after the first epoch, none after the second.
  CHECK(run.epochs[0].alpha_sparsity == 0.125);
  CHECK(run.epochs[1].alpha_sparsity == 0.0);
  // The one link under conflict has A = ln 3 after the first epoch, ln(3/7) after the second.
  CHECK(run.epochs[0].loss_conflict == Approx(0.5 * std::log(3.0)));
  CHECK(run.epochs[1].loss_conflict == Approx(0.25 * (std::log(3.0) + std::log(3.0 / 7.0))));
  CHECK(run.start.informed_routing.empty());
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

TEST_CASE("the conflict loss of an epoch by each penalty") {
  const LinkTables before = {{{0.5, 0.75}, {0.25, 0.5}}}, after = {{{0.5, 0.5}, {1.0, 0.5}}};
  const LinkTables conflict = {{{9.0, 0.5}, {0.25, 9.0}}};  // a link to itself does not count
  const auto loss = [&](ConflictPenalty penalty) {
    return conflict_loss_of_epoch(before, after, conflict, penalty);
  };
  CHECK(loss(ConflictPenalty::kSigmoid) == Approx(0.5 * 0.625 + 0.25 * 0.625));
  // A link at 1 by rounding counts as a firm one, about A = 36.7; A = 0 is below the gate.
  const double firm = std::log(2.0) * 53.0, ln3 = std::log(3.0);
  CHECK(loss(ConflictPenalty::kLogit) == Approx(0.25 * ln3 + 0.125 * (firm - ln3)));
  CHECK(loss(ConflictPenalty::kGatedLogit) == Approx(0.25 * ln3 + 0.125 * firm));
}

TEST_CASE("how often steps were logged changes nothing that is judged") {
  const TemporaryFolder folder;
  const fs::path path = write_run(folder);
  const ClaimRun none = read_claim_run(path, "cdsp");
  for (const char* rows : {"1,1,0,0.9\n2,1,5,0.9\n3,2,-2,0.25\n4,2,-3,0\n", "4,2,-3,0\n"}) {
    folder.write("metrics.csv", std::string("step,epoch,loss_conflict,alpha_sparsity\n") + rows);
    const ClaimRun run = read_claim_run(path, "cdsp");
    for (size_t epoch = 0; epoch < 2; ++epoch) {
      CHECK(run.epochs[epoch].alpha_sparsity == none.epochs[epoch].alpha_sparsity);
      CHECK(run.epochs[epoch].loss_conflict == none.epochs[epoch].loss_conflict);
    }
  }
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
