// The table of claims: which number of which arm stands for each.
#include "experiment/claims.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/error.h"
#include "experiment/claims_judge.h"
#include "experiment/claims_measures.h"

namespace cdsp {
namespace {

using Measure = std::function<double(const ClaimRun&)>;

constexpr const char* kBaseline = "baseline";
constexpr const char* kBlind = "blind";
constexpr const char* kCdsp = "cdsp";
constexpr const char* kNoConflict = "cdsp-no-conflict";
constexpr double kMostSeeds = 0.5;  // threshold of a 0/1 part: it is so in most seeds

/// The runs by arm.
class Arms {
 public:
  explicit Arms(const std::vector<ClaimRun>& runs) : runs_(runs) {}

  std::vector<SeedValue> values(const char* arm, const Measure& measure) const {
    std::vector<SeedValue> values;
    for (const ClaimRun& run : runs_) {
      if (run.arm == arm) values.push_back({run.seed, measure(run)});
    }
    std::sort(values.begin(), values.end(),
              [](const SeedValue& a, const SeedValue& b) { return a.seed < b.seed; });
    return values;
  }

  /// measure of arm `a` minus that of arm `b` at the same seed.
  std::vector<SeedValue> differences(const char* a, const char* b, const Measure& measure) const {
    return paired_differences(values(a, measure), values(b, measure));
  }

  const ClaimRun* any_of(const char* arm) const {
    for (const ClaimRun& run : runs_) {
      if (run.arm == arm) return &run;
    }
    return nullptr;
  }

 private:
  const std::vector<ClaimRun>& runs_;
};

ClaimPart part_of(std::string name, std::string unit, std::vector<SeedValue> values, Side side,
                  double threshold) {
  ClaimPart part;
  part.name = std::move(name);
  part.unit = std::move(unit);
  part.values = std::move(values);
  part.side = side;
  part.threshold = threshold;
  return part;
}

ClaimPart paired_part(std::string name, std::string unit, std::vector<SeedValue> values,
                      Side side) {
  ClaimPart part = part_of(std::move(name), std::move(unit), std::move(values), side, 0.0);
  part.paired = true;
  return part;
}

/// A share of seeds, from values that are 0 or 1.
ClaimPart share_part(std::string name, std::vector<SeedValue> values) {
  ClaimPart part =
      part_of(std::move(name), "of seeds", std::move(values), Side::kAbove, kMostSeeds);
  part.share = true;
  return part;
}

double informed_separation(const ClaimRun& run) { return separation_index(run.informed_routing); }
double blind_separation(const ClaimRun& run) { return separation_index(run.blind_routing); }
double blind_pearson(const ClaimRun& run) { return pearson_of_tasks(run.blind_routing, 0, 2); }
double keeps_third_expert(const ClaimRun& run) {
  return same_preferred_expert(run.informed_routing, run.blind_routing, 2);
}
double loses_third_expert(const ClaimRun& run) { return 1.0 - keeps_third_expert(run); }

/// The same number of the network before its first step.
Measure at_start(const Measure& measure) {
  return [measure](const ClaimRun& run) {
    ClaimRun start;
    start.informed_routing = run.start.informed_routing;
    start.blind_routing = run.start.blind_routing;
    return measure(start);
  };
}

/// How far training has moved the number.
Measure since_start(const Measure& measure) {
  return [measure, start = at_start(measure)](const ClaimRun& run) {
    return measure(run) - start(run);
  };
}

ClaimPart start_part(ClaimPart part) {
  part.at_start = true;
  return part;
}

/// What a separation index of CDSP has to be read against: the same of its network before training,
/// of the baselines, and CDSP's at the same seeds less each of the first two.
std::vector<ClaimPart> beside_separation(const Arms& arms, const std::string& told,
                                         const Measure& measure) {
  const std::string name = "separation index " + told + ", ";
  return {start_part(part_of(name + "CDSP before training", "bits",
                             arms.values(kCdsp, at_start(measure)), Side::kAbove, 0.0)),
          part_of(name + "baseline", "bits", arms.values(kBaseline, measure), Side::kAbove, 0.0),
          part_of(name + "blind baseline", "bits", arms.values(kBlind, measure), Side::kAbove, 0.0),
          paired_part(name + "CDSP - CDSP before training", "bits",
                      arms.values(kCdsp, since_start(measure)), Side::kAbove),
          paired_part(name + "CDSP - baseline", "bits", arms.differences(kCdsp, kBaseline, measure),
                      Side::kAbove)};
}

Claim informed_modularity(const Arms& arms) {
  Claim claim;
  claim.title = "Told the task, CDSP gives the symbol tasks common experts and the objects others";
  claim.parts = {part_of("separation index, CDSP informed, last epoch", "bits",
                         arms.values(kCdsp, informed_separation), Side::kAbove, 0.0)};
  claim.beside = beside_separation(arms, "informed", informed_separation);
  return claim;
}

Claim two_stages(const Arms& arms) {
  Claim claim;
  claim.title = "Experts are shared by texture first, by meaning in the end";
  const auto at = [](int64_t epoch) {
    return [epoch](const ClaimRun& run) {
      return texture_over_semantics(routing_of_epoch(run, epoch));
    };
  };
  const auto at_end = [](const ClaimRun& run) {
    // An end before the third epoch is no second stage.
    return texture_over_semantics(run.epochs.size() > 2 ? run.epochs.back().routing
                                                        : RoutingRows());
  };
  claim.parts = {part_of("JS(0,1) - JS(1,2), CDSP, epoch 2", "bits", arms.values(kCdsp, at(2)),
                         Side::kAbove, 0.0),
                 part_of("JS(0,1) - JS(1,2), CDSP, last epoch", "bits", arms.values(kCdsp, at_end),
                         Side::kBelow, 0.0)};
  claim.beside = {part_of("JS(0,1) - JS(1,2), CDSP, epoch 3", "bits", arms.values(kCdsp, at(3)),
                          Side::kAbove, 0.0)};
  return claim;
}

Claim oligarchy(const Arms& arms) {
  Claim claim;
  claim.title = "Some experts keep their own columns firmly, others lose their hold";
  const auto largest = [](size_t layer) {
    return [layer](const ClaimRun& run) { return ranked_diagonal(run, layer, 0); };
  };
  const auto second_smallest = [](size_t layer) {
    return [layer](const ClaimRun& run) { return ranked_diagonal_from_below(run, layer, 1); };
  };
  const ClaimRun* run = arms.any_of(kCdsp);
  const size_t layers = run == nullptr ? 1 : std::max<size_t>(1, run->links.size());
  for (size_t layer = 0; layer < layers; ++layer) {
    const std::string where = ", layer " + std::to_string(layer) + ", last epoch";
    auto& parts = layer == 0 ? claim.parts : claim.beside;
    parts.push_back(part_of("largest σ(A_ii)" + where, "", arms.values(kCdsp, largest(layer)),
                            Side::kAtLeast, 0.85));
    parts.push_back(part_of("second smallest σ(A_ii)" + where, "",
                            arms.values(kCdsp, second_smallest(layer)), Side::kAtMost, 0.6));
  }
  return claim;
}

Claim blind_modularity(const Arms& arms) {
  Claim claim;
  claim.title = "CDSP keeps its modules when the task is withheld";
  claim.parts = {part_of("separation index, CDSP blind", "bits",
                         arms.values(kCdsp, blind_separation), Side::kAbove, 0.0),
                 share_part("T2's preferred expert blind is the informed one, CDSP",
                            arms.values(kCdsp, keeps_third_expert))};
  claim.beside = beside_separation(arms, "blind", blind_separation);
  claim.beside.push_back(
      start_part(share_part("T2's preferred expert blind is the informed one, CDSP before training",
                            arms.values(kCdsp, at_start(keeps_third_expert)))));
  claim.beside.push_back(share_part("T2's preferred expert blind is the informed one, baseline",
                                    arms.values(kBaseline, keeps_third_expert)));
  return claim;
}

Claim instruction_overfitting(const Arms& arms) {
  Claim claim;
  claim.title = "The baseline routes by the instruction: blind, objects go where digits go";
  constexpr double kAlike = 0.9;
  const auto pearson_part = [&](const char* who, const char* arm, const Measure& measure) {
    return part_of(std::string("Pearson(T0,T2), ") + who, "", arms.values(arm, measure),
                   Side::kAtLeast, kAlike);
  };
  claim.parts = {pearson_part("baseline blind", kBaseline, blind_pearson),
                 share_part("T2's informed expert is no longer its first, baseline blind",
                            arms.values(kBaseline, loses_third_expert))};
  claim.beside = {start_part(pearson_part("baseline blind before training", kBaseline,
                                          at_start(blind_pearson))),
                  pearson_part("blind baseline", kBlind, blind_pearson),
                  pearson_part("CDSP blind", kCdsp, blind_pearson),
                  paired_part("Pearson(T0,T2) blind, baseline - baseline before training", "",
                              arms.values(kBaseline, since_start(blind_pearson)), Side::kAbove),
                  paired_part("Pearson(T0,T2) blind, baseline - CDSP", "",
                              arms.differences(kBaseline, kCdsp, blind_pearson), Side::kAbove),
                  start_part(share_part(
                      "T2's informed expert is no longer its first, baseline blind before training",
                      arms.values(kBaseline, at_start(loses_third_expert)))),
                  share_part("T2's informed expert is no longer its first, CDSP blind",
                             arms.values(kCdsp, loses_third_expert))};
  return claim;
}

Claim necessity(const Arms& arms) {
  Claim claim;
  claim.title = "Withheld the task, CDSP separates more than a network that never had it";
  claim.parts = {paired_part("separation index blind, CDSP - blind baseline", "bits",
                             arms.differences(kCdsp, kBlind, blind_separation), Side::kAbove)};
  return claim;
}

Claim order_of_arms(const Arms& arms) {
  Claim claim;
  claim.title = "Accuracy and loss order the arms: baseline, CDSP, blind baseline";
  const auto add = [&](std::vector<ClaimPart>& parts, const std::string& split,
                       double ClaimEpoch::*accuracy, double ClaimEpoch::*loss) {
    const Measure accuracy_at_end = [=](const ClaimRun& run) {
      return at_last_epoch(run, accuracy);
    };
    const Measure loss_at_end = [=](const ClaimRun& run) { return at_last_epoch(run, loss); };
    parts.push_back(paired_part(split + " accuracy, baseline - CDSP", kOfAccuracy,
                                arms.differences(kBaseline, kCdsp, accuracy_at_end),
                                Side::kAtLeast));
    parts.push_back(paired_part(split + " accuracy, CDSP - blind baseline", kOfAccuracy,
                                arms.differences(kCdsp, kBlind, accuracy_at_end), Side::kAbove));
    parts.push_back(paired_part(split + " loss, CDSP - baseline", "nats",
                                arms.differences(kCdsp, kBaseline, loss_at_end), Side::kAtLeast));
    parts.push_back(paired_part(split + " loss, blind baseline - CDSP", "nats",
                                arms.differences(kBlind, kCdsp, loss_at_end), Side::kAbove));
  };
  add(claim.parts, "training", &ClaimEpoch::train_accuracy, &ClaimEpoch::train_loss);
  add(claim.beside, "test", &ClaimEpoch::test_accuracy, &ClaimEpoch::test_loss);
  return claim;
}

Claim sparsity_course(const Arms& arms) {
  Claim claim;
  claim.title = "Alpha sparsity starts near 0, rises, stays on a plateau and keeps fluctuating";
  const auto start = [](const ClaimRun& run) { return run.start.alpha_sparsity; };
  const auto first_epoch = [](const ClaimRun& run) {
    return at_epoch(run, 1, &ClaimEpoch::alpha_sparsity);
  };
  claim.parts = {part_of("alpha sparsity before the first step", "", arms.values(kCdsp, start),
                         Side::kAtMost, kSparsityAtStart),
                 part_of("its rise to the mean of the last half", "",
                         arms.values(kCdsp, sparsity_rise), Side::kAbove, 0.0),
                 part_of("its range over the last half", "",
                         arms.values(kCdsp, late_sparsity_range), Side::kAtMost, kSparsityBand),
                 part_of("share of rises or of falls in the last half, the smaller", "",
                         arms.values(kCdsp, late_sparsity_fluctuation), Side::kAbove, 0.0)};
  claim.beside = {part_of("alpha sparsity at the end of epoch 1", "",
                          arms.values(kCdsp, first_epoch), Side::kAtMost, kSparsityAtStart)};
  return claim;
}

Claim settled_loss(const Arms& arms) {
  Claim claim;
  claim.title = "The auxiliary loss has settled by epoch 2";
  const auto left = [](int64_t epoch) {
    return [epoch](const ClaimRun& run) { return conflict_loss_way_left(run, epoch); };
  };
  claim.parts = {part_of("share of the conflict loss's way left after epoch 2", "",
                         arms.values(kCdsp, left(2)), Side::kAtMost, 0.1)};
  claim.beside = {part_of("share of the conflict loss's way left after epoch 3", "",
                          arms.values(kCdsp, left(3)), Side::kAtMost, 0.1)};
  return claim;
}

Claim evolutionary_tax(const Arms& arms) {
  Claim claim;
  claim.title = "CDSP's accuracy trails the baseline's in epochs 1 to 3";
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    const auto add = [&](std::vector<ClaimPart>& parts, const std::string& split,
                         double ClaimEpoch::*column) {
      const Measure measure = [=](const ClaimRun& run) { return at_epoch(run, epoch, column); };
      parts.push_back(
          paired_part(split + " accuracy, baseline - CDSP, epoch " + std::to_string(epoch),
                      kOfAccuracy, arms.differences(kBaseline, kCdsp, measure), Side::kAbove));
    };
    add(claim.parts, "training", &ClaimEpoch::train_accuracy);
    add(claim.beside, "test", &ClaimEpoch::test_accuracy);
  }
  return claim;
}

/// Why the runs of cdsp and cdsp-no-conflict do not isolate the conflict; empty if they do.
std::string unlike_but_for_conflict(const ClaimRun& cdsp, const ClaimRun& without) {
  for (const auto& [key, value] : without.config) {
    if (key == "conflict.lambda" && std::stod(value) != 0.0)
      return std::string("arm ") + kNoConflict + " has conflict.lambda: " + value + ", not 0";
    for (const auto& [other_key, other_value] : cdsp.config) {
      if (key != other_key) continue;
      if (key == "conflict.lambda" && std::stod(other_value) == 0.0)
        return std::string("arm ") + kCdsp + " has conflict.lambda: 0 itself";
      if (key != "conflict.lambda" && value != other_value) {
        return std::string("arms ") + kCdsp + " and " + kNoConflict + " differ in " + key + " (" +
               other_value + " and " + value + "), so not all else is equal";
      }
    }
  }
  return "";
}

/// Why the two arms of C11 cannot be set against each other; empty if they can, or one is missing.
std::string obstacle_to_cause(const Arms& arms) {
  const ClaimRun *cdsp = arms.any_of(kCdsp), *without = arms.any_of(kNoConflict);
  if (cdsp == nullptr || without == nullptr) return "";
  return unlike_but_for_conflict(*cdsp, *without);
}

Claim cause(const Arms& arms) {
  Claim claim;
  claim.title = "The conflict causes the separation";
  if (!obstacle_to_cause(arms).empty()) return claim;
  claim.parts = {paired_part("separation index informed, CDSP - CDSP without conflict", "bits",
                             arms.differences(kCdsp, kNoConflict, informed_separation),
                             Side::kAbove)};
  claim.beside = {paired_part("separation index blind, CDSP - CDSP without conflict", "bits",
                              arms.differences(kCdsp, kNoConflict, blind_separation),
                              Side::kAbove)};
  return claim;
}

struct ClaimEntry {
  std::vector<const char*> arms;  // that it needs
  Claim (*build)(const Arms& arms);
  std::string (*obstacle)(const Arms& arms) = nullptr;  // why its arms do not serve it
};

/// C1 to C11.
const std::vector<ClaimEntry>& all_claims() {
  static const std::vector<ClaimEntry> entries = {{{kCdsp}, informed_modularity},
                                                  {{kCdsp}, two_stages},
                                                  {{kCdsp}, oligarchy},
                                                  {{kCdsp}, blind_modularity},
                                                  {{kBaseline}, instruction_overfitting},
                                                  {{kCdsp, kBlind}, necessity},
                                                  {{kBaseline, kCdsp, kBlind}, order_of_arms},
                                                  {{kCdsp}, sparsity_course},
                                                  {{kCdsp}, settled_loss},
                                                  {{kBaseline, kCdsp}, evolutionary_tax},
                                                  {{kCdsp, kNoConflict}, cause, obstacle_to_cause}};
  return entries;
}

std::string id_of(size_t claim) { return "C" + std::to_string(claim + 1); }

/// Which arm is missing and the command that measures it; empty if all are there.
std::string missing_arm(const ClaimEntry& entry, const Arms& arms, const std::string& controls) {
  for (const char* arm : entry.arms) {
    if (arms.any_of(arm) != nullptr) continue;
    std::string text = std::string("no run of arm ") + arm;
    if (controls.empty()) {
      text +=
          "; in SUITE, a suite file with that arm such as configs/paper-controls.yaml or "
          "configs/reference-controls.yaml, ";
    } else {
      text += "; " + controls + " has it: ";
    }
    return text + "cdsp compare baselines --suite " + (controls.empty() ? "SUITE" : controls) +
           " --seeds 0..4 --out OUT measures it";
  }
  return "";
}

std::vector<uint64_t> distinct_seeds(const std::vector<ClaimRun>& runs) {
  std::set<uint64_t> seeds;
  std::set<std::pair<std::string, uint64_t>> seen;
  for (const ClaimRun& run : runs) {
    seeds.insert(run.seed);
    if (!seen.insert({run.arm, run.seed}).second)
      throw InputError("claims: arm " + run.arm + " has seed " + std::to_string(run.seed) +
                       " twice");
  }
  return {seeds.begin(), seeds.end()};
}

}  // namespace

Claims judge_claims(const std::vector<ClaimRun>& runs, const std::string& controls) {
  Claims claims;
  claims.seeds = distinct_seeds(runs);
  const Arms arms(runs);
  for (size_t i = 0; i < all_claims().size(); ++i) {
    const ClaimEntry& entry = all_claims()[i];
    Claim claim = entry.build(arms);
    claim.id = id_of(i);
    std::string obstacle = missing_arm(entry, arms, controls);
    if (obstacle.empty() && entry.obstacle != nullptr) obstacle = entry.obstacle(arms);
    judge(claim, i + 1, obstacle);
    claims.claims.push_back(std::move(claim));
  }
  return claims;
}

std::vector<UnmeasuredClaim> claims_that_lack_an_arm(const std::vector<std::string>& arms) {
  std::vector<UnmeasuredClaim> lacking;
  for (size_t i = 0; i < all_claims().size(); ++i) {
    for (const char* arm : all_claims()[i].arms) {
      if (std::find(arms.begin(), arms.end(), arm) != arms.end()) continue;
      lacking.push_back({id_of(i), arm});
      break;
    }
  }
  return lacking;
}

}  // namespace cdsp
