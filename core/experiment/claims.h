// The claims C1 to C11 as statistics over seeds. docs/claims.md says of each what is measured, in
// which unit, against which threshold, why, and what it cannot show.
//
// A claim has parts. A part has one number a seed and a threshold, and is judged by the 95 %
// interval of the mean (Student t; Clopper-Pearson where the number is 0 or 1):
//   supported       the whole interval lies on the claimed side of the threshold
//   not supported   the whole interval lies on the other side
//   inconclusive    the interval reaches across, or there are fewer than two seeds
//   not measured    an arm, or the quantity itself, is not there
// A claim is supported if every part is, not supported if one part is not, else inconclusive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/routing_measures.h"
#include "eval/statistics.h"

namespace cdsp {

/// A row of epochs.csv with the layer-0 routing of that epoch (test images; told the task, but for
/// variant blind).
struct ClaimEpoch {
  int64_t epoch = 0;  // from 1
  double train_loss = 0, train_accuracy = 0, test_loss = 0, test_accuracy = 0;
  RoutingRows routing;  // [task][expert]
};

/// A row of metrics.csv.
struct ClaimStep {
  int64_t step = 0, epoch = 0;
  double loss_conflict = 0, alpha_sparsity = 0;
};

/// What the claims need of one finished run.
struct ClaimRun {
  std::string arm;  // the run's role: baseline, blind, cdsp or cdsp-no-conflict; others are ignored
  uint64_t seed = 0;
  /// Resolved config, without the seed and the keys that change speed only: (key, value).
  std::vector<std::pair<std::string, std::string>> config;
  std::vector<ClaimEpoch> epochs;
  std::vector<ClaimStep> steps;
  RoutingRows informed_routing, blind_routing;          // layer 0, at the end
  std::vector<std::vector<std::vector<double>>> links;  // sigma(A), [layer][N][N], at the end
};

/// Reads a finished run's folder with its blind evaluation (protocols informed and blind). Throws
/// InputError naming the file that is missing or is not what a run writes.
ClaimRun read_claim_run(const std::filesystem::path& run_folder, const std::string& arm);

enum class Verdict { kSupported, kNotSupported, kInconclusive, kNotMeasured };
/// "supported", "not supported", "inconclusive", "not measured".
const char* to_string(Verdict verdict);

/// Which side of the threshold is claimed.
enum class Side { kAbove, kAtLeast, kBelow, kAtMost };
/// ">", ">=", "<", "<=".
const char* to_string(Side side);

struct ClaimPart {
  std::string name, unit;
  bool paired = false;  // values are differences between two arms at the same seed
  bool share = false;   // values are 0 or 1, and `interval` is Clopper-Pearson's
  double threshold = 0;
  Side side = Side::kAbove;
  std::vector<SeedValue> values;  // NaN where the quantity is not defined
  std::optional<double> estimate;
  std::optional<Interval> interval;            // what the verdict is passed on
  std::optional<Interval> interval_bootstrap;  // beside it; none for a share
  Verdict verdict = Verdict::kNotMeasured;
};

struct Claim {
  std::string id, title, sentence;
  Verdict verdict = Verdict::kNotMeasured;
  std::vector<ClaimPart> parts;
  std::vector<ClaimPart> beside;  // shown, not judged with the claim
};

struct Claims {
  std::vector<uint64_t> seeds;  // of all runs, ascending
  std::vector<Claim> claims;    // C1 to C11
};

/// Throws InputError if an arm has a seed twice.
Claims judge_claims(const std::vector<ClaimRun>& runs);

/// The content of claims.json. What is not defined is null.
nlohmann::ordered_json claims_json(const Claims& claims);

}  // namespace cdsp
