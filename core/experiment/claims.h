// The claims C1 to C11 as statistics over seeds. docs/claims.md says of each what is measured, in
// which unit, against which threshold, why, and what it cannot show.
//
// A claim has parts. A part has one number a seed and a threshold, and is judged by the 95 %
// interval of the mean (Student t; Clopper-Pearson where the number is 0 or 1):
//   supported       the whole interval lies on the claimed side of the threshold
//   not supported   the whole interval lies on the other side
//   inconclusive    the interval reaches across, there are fewer than two seeds, or fewer than
//                   kSeedsWithoutSpread seeds that all have the same number
//   not measured    an arm, or the quantity itself, is not there
// A claim is supported if every part is, not supported if one part is not, else inconclusive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "config/config.h"
#include "eval/routing_measures.h"
#include "eval/statistics.h"

namespace cdsp {

/// A run with fewer seeds than this whose numbers are all the same has no spread to judge by: as
/// many as a share of n in n seeds needs to be above one half (Clopper-Pearson).
inline constexpr int64_t kSeedsWithoutSpread = 6;

/// A row of epochs.csv with the layer-0 routing of that epoch (test images; told the task, but for
/// variant blind), and what the epoch's topology and conflict tables come to (NaN without them).
struct ClaimEpoch {
  int64_t epoch = 0;  // from 1
  double train_loss = 0, train_accuracy = 0, test_loss = 0, test_accuracy = 0;
  RoutingRows routing;        // [task][expert]
  double alpha_sparsity = 0;  // at the epoch's end
  double loss_conflict = 0;   // the unweighted conflict loss by conflict_loss_of_epoch()
};

/// The network of a run before its first step.
struct ClaimStart {
  RoutingRows informed_routing, blind_routing;  // layer 0, all test images; empty if not known
  double alpha_sparsity = std::numeric_limits<double>::quiet_NaN();
};

/// What the claims need of one finished run.
struct ClaimRun {
  std::string arm;  // the run's role: baseline, blind, cdsp or cdsp-no-conflict; others are ignored
  uint64_t seed = 0;
  /// Resolved config, without the seed and the keys that change speed only: (key, value).
  std::vector<std::pair<std::string, std::string>> config;
  std::vector<ClaimEpoch> epochs;
  ClaimStart start;
  RoutingRows informed_routing, blind_routing;          // layer 0, at the end
  std::vector<std::vector<std::vector<double>>> links;  // sigma(A), [layer][N][N], at the end
};

/// Reads a finished run's folder with its blind evaluation (protocols informed and blind). Throws
/// InputError naming the file that is missing or is not what a run writes.
/// What stands in no file of the run, its start, is left empty.
ClaimRun read_claim_run(const std::filesystem::path& run_folder, const std::string& arm);

/// Sum over layers and i != j of f(A_ij) C_ij, with the epoch's mean C and, for f(A_ij), the mean
/// of its values at the two ends of the epoch: what the unweighted conflict loss is over all steps
/// of the epoch, however few of them were logged. Tables are sigma(A) and C, [layer][N][N].
using LinkTables = std::vector<std::vector<std::vector<double>>>;
double conflict_loss_of_epoch(const LinkTables& links_before, const LinkTables& links_after,
                              const LinkTables& conflict, ConflictPenalty penalty);

enum class Verdict { kSupported, kNotSupported, kInconclusive, kNotMeasured };
/// "supported", "not supported", "inconclusive", "not measured".
const char* to_string(Verdict verdict);

/// Which side of the threshold is claimed.
enum class Side { kAbove, kAtLeast, kBelow, kAtMost };
/// ">", ">=", "<", "<=".
const char* to_string(Side side);

/// The unit of accuracies and their differences: fractions, which sentences and pages show in
/// percentage points.
inline constexpr const char* kOfAccuracy = "accuracy";

struct ClaimPart {
  std::string name, unit;  // unit: "" for a plain number
  bool paired = false;     // values are differences between two arms at the same seed
  bool share = false;      // values are 0 or 1, and `interval` is Clopper-Pearson's
  bool at_start = false;   // beside a claim: the same number of the networks before training
  double threshold = 0;
  Side side = Side::kAbove;
  std::vector<SeedValue> values;  // NaN where the quantity is not defined
  std::optional<double> estimate;
  std::optional<Interval> interval;            // what the verdict is passed on
  std::optional<Interval> interval_bootstrap;  // beside it; none for a share
  Verdict verdict = Verdict::kNotMeasured;
  std::string note;  // what the numbers alone do not tell ("all equal, ..."); empty if nothing
};

struct Claim {
  std::string id, title;
  std::string sentence;  // the verdict and what decided it
  Verdict verdict = Verdict::kNotMeasured;
  std::vector<ClaimPart> parts;
  std::vector<ClaimPart> beside;  // shown, not judged with the claim
};

struct Claims {
  std::vector<uint64_t> seeds;  // of all runs, ascending
  std::vector<Claim> claims;    // C1 to C11
};

/// `controls`: a suite that has the arms which these runs may lack, for the sentence on what is not
/// measured; may be empty. Throws InputError if an arm has a seed twice.
Claims judge_claims(const std::vector<ClaimRun>& runs, const std::string& controls = "");

/// The claims that cannot be measured with these arms, and the first arm that each lacks.
struct UnmeasuredClaim {
  std::string id, arm;
};
std::vector<UnmeasuredClaim> claims_that_lack_an_arm(const std::vector<std::string>& arms);

/// The content of claims.json. What is not defined is null.
nlohmann::ordered_json claims_json(const Claims& claims);

}  // namespace cdsp
