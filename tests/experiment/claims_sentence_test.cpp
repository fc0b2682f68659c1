// A claim's sentence: its verdict and what decided it.
#include <cmath>
#include <string>
#include <vector>

#include "experiment/claims_judge.h"
#include "experiment/synthetic_claims.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

TEST_CASE("a claim's sentence is its verdict and what decided it") {
  const auto sentence_of = [](const std::vector<ClaimRun>& runs, const char* id) {
    return claim_of(judge_claims(runs), id).sentence;
  };
  std::vector<ClaimRun> runs = supporting_runs(8);
  CHECK_THAT(sentence_of(runs, "C1"),
             StartsWith("Supported: 'separation index, CDSP informed, last epoch' is 0.") &&
                 ContainsSubstring("] over 8 seeds, claimed > 0"));
  CHECK(sentence_of(runs, "C7") == "Supported: all 4 parts hold.");
  CHECK(sentence_of(runs, "C2") == "Supported: both parts hold.");
  // Of several parts the sentence names those that decide, and leaves numbers to the parts.
  for (ClaimRun& run : runs) {
    if (run.arm == "baseline") run.epochs.back().train_loss += 0.1;
  }
  CHECK(sentence_of(runs, "C7") ==
        "Not supported: 1 of 4 parts fails, 'training loss, CDSP - baseline'.");
  for (ClaimRun& run : runs) {
    if (run.arm == "blind" && run.seed % 2 == 0) run.epochs.back().train_accuracy += 0.1;
  }
  CHECK(sentence_of(runs, "C7") ==
        "Not supported: 1 of 4 parts fails, 'training loss, CDSP - baseline'.");
  for (ClaimRun& run : runs) {
    if (run.arm == "baseline") run.epochs.back().train_loss -= 0.1;
  }
  CHECK(sentence_of(runs, "C7") ==
        "Inconclusive: 1 of 4 parts is open, 'training accuracy, CDSP - "
        "blind baseline', while the other 3 hold.");
  CHECK(sentence_of(supporting_runs(1), "C7") ==
        "Inconclusive: one seed gives no interval, so that all 4 parts are open.");
  // One arm stands on no common seed.
  for (ClaimRun& run : runs) {
    if (run.arm == "blind") run.seed += 100;
    if (run.arm == "baseline") run.epochs.back().train_loss += 0.1;
  }
  CHECK(sentence_of(runs, "C6") ==
        "Not measured: no seed has runs of all the arms that it compares.");
  CHECK(sentence_of(runs, "C7") ==
        "Not supported: 1 of 4 parts fails, 'training loss, CDSP - "
        "baseline', and 2 are not measured.");
}

TEST_CASE("the sentence of one part has its numbers, shares counted and accuracies in points") {
  Claim claim;
  ClaimPart part;
  part.name = "accuracy";
  part.unit = kOfAccuracy;
  part.values = {{0, -0.03}, {1, -0.01}, {2, std::nan("")}};
  claim.parts = {part};
  judge(claim, 1, "");
  CHECK(claim.sentence ==
        "Inconclusive: 'accuracy' is -2 percentage points [-14.7, 10.7] over 2 seeds, claimed > 0 "
        "(not defined in 1 of 3 seeds).");
  part = {};
  part.name = "yes";
  part.share = true;
  part.threshold = 0.5;
  part.values = {{0, 1}, {1, 1}, {2, 0}};
  claim.parts = {part};
  judge(claim, 1, "");
  CHECK(claim.sentence ==
        "Inconclusive: 'yes' is 2 of 3 seeds, a share [0.0943, 0.992], claimed > "
        "0.5.");
}
