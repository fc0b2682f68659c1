// The claims on runs that support them, contradict them and leave them open.
#include "experiment/claims.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "experiment/synthetic_claims.h"
#include "support/catch.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

constexpr uint64_t kSeeds = 8;

struct Contradiction {
  std::string claim, arm;  // what it contradicts, and the arm that it spoils
  std::function<void(ClaimRun&)> spoil;
  bool opens_at_one = false;  // a mean that one good seed of many keeps open, not half of them
};

void swap_tasks(RoutingRows& table) { std::swap(table[0], table[2]); }

/// Ways to contradict one part of one claim.
std::vector<Contradiction> contradictions() {
  return {
      {"C1", "cdsp", [](ClaimRun& run) { swap_tasks(run.informed_routing); }},
      {"C2", "cdsp", [](ClaimRun& run) { swap_tasks(run.epochs[1].routing); }},
      {"C2", "cdsp", [](ClaimRun& run) { swap_tasks(run.epochs.back().routing); }},
      {"C3", "cdsp", [](ClaimRun& run) { run.links[0][0][0] = run.links[0][1][1] = 0.7; }},
      {"C3", "cdsp", [](ClaimRun& run) { run.links[0][2][2] = 0.8; }},
      {"C4", "cdsp", [](ClaimRun& run) { swap_tasks(run.blind_routing); }},
      {"C4", "cdsp",
       [](ClaimRun& run) {
         run.blind_routing[2] = {.1, .5, .4, .0};
       }},
      {"C5", "baseline",
       [](ClaimRun& run) {
         run.blind_routing[2] = {.4, .2, .3, .1};
       }},
      {"C5", "baseline",
       [](ClaimRun& run) {
         run.informed_routing[2] = {.6, .2, .1, .1};
       }},
      {"C6", "blind",
       [](ClaimRun& run) {
         run.blind_routing = {{1, 0}, {1, 0}, {0, 1}};
       }},
      {"C7", "baseline", [](ClaimRun& run) { run.epochs.back().train_accuracy -= 0.1; }},
      {"C7", "blind", [](ClaimRun& run) { run.epochs.back().train_accuracy += 0.1; }},
      {"C7", "baseline", [](ClaimRun& run) { run.epochs.back().train_loss += 0.1; }},
      {"C7", "blind", [](ClaimRun& run) { run.epochs.back().train_loss -= 0.1; }},
      {"C8", "cdsp", [](ClaimRun& run) { run.start.alpha_sparsity = 0.2; }},
      {"C8", "cdsp",
       [](ClaimRun& run) {
         for (ClaimEpoch& epoch : run.epochs) epoch.alpha_sparsity *= epoch.epoch > 5 ? 0.0 : 1.0;
         run.start.alpha_sparsity = 0.05;
       }},
      {"C8", "cdsp", [](ClaimRun& run) { run.epochs.back().alpha_sparsity = 0.7; }},
      {"C8", "cdsp",
       [](ClaimRun& run) {
         for (ClaimEpoch& epoch : run.epochs) {
           if (epoch.epoch > 5) epoch.alpha_sparsity = 0.3;
         }
       },
       true},
      {"C9", "cdsp", [](ClaimRun& run) { run.epochs[1].loss_conflict = -0.5; }},
      {"C10", "baseline", [](ClaimRun& run) { run.epochs[2].train_accuracy -= 0.2; }},
      {"C11", "cdsp-no-conflict",
       [](ClaimRun& run) {
         run.informed_routing = {{1, 0}, {1, 0}, {0, 1}};
       }},
  };
}

/// Contradicted in every seed, or in some only.
std::vector<ClaimRun> spoilt(const Contradiction& contradiction, bool everywhere) {
  std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  for (ClaimRun& run : runs) {
    const bool spared = contradiction.opens_at_one ? run.seed == 0 : run.seed % 2 == 0;
    if (run.arm == contradiction.arm && (everywhere || !spared)) contradiction.spoil(run);
  }
  return runs;
}

/// The first part that has the claim's own verdict; "" where all of several parts have it, since
/// the sentence does not name them then.
std::string deciding_name(const Claim& claim) {
  std::string first;
  size_t deciding = 0;
  for (const ClaimPart& part : claim.parts) {
    if (part.verdict != claim.verdict) continue;
    if (deciding++ == 0) first = "'" + part.name + "'";
  }
  return deciding == claim.parts.size() && deciding > 1 ? "" : first;
}

std::vector<ClaimRun> without_arm(const std::string& arm) {
  std::vector<ClaimRun> runs;
  for (const ClaimRun& run : supporting_runs(kSeeds)) {
    if (run.arm != arm) runs.push_back(run);
  }
  return runs;
}

}  // namespace

TEST_CASE("runs made to support every claim support every claim") {
  const Claims claims = judge_claims(supporting_runs(kSeeds));
  REQUIRE(claims.claims.size() == 11);
  CHECK(claims.seeds.size() == kSeeds);
  for (const Claim& claim : claims.claims) {
    CAPTURE(claim.id, claim.sentence);
    CHECK(claim.verdict == Verdict::kSupported);
    CHECK_THAT(claim.sentence, StartsWith("Supported: ") && EndsWith("."));
    CHECK_FALSE(claim.title.empty());
    for (const ClaimPart& part : claim.parts) CHECK(part.values.size() == kSeeds);
  }
}

TEST_CASE("contradicted in every seed a claim is not supported, in some of them it stays open") {
  for (const Contradiction& contradiction : contradictions()) {
    const Claim against = claim_of(judge_claims(spoilt(contradiction, true)), contradiction.claim);
    CAPTURE(contradiction.claim, against.sentence);
    CHECK(against.verdict == Verdict::kNotSupported);
    CHECK_THAT(against.sentence,
               StartsWith("Not supported: ") && ContainsSubstring(deciding_name(against)));
    const Claim open = claim_of(judge_claims(spoilt(contradiction, false)), contradiction.claim);
    CAPTURE(open.sentence);
    CHECK(open.verdict == Verdict::kInconclusive);
    CHECK_THAT(open.sentence,
               StartsWith("Inconclusive: ") && ContainsSubstring(deciding_name(open)));
  }
}

TEST_CASE("one seed never decides") {
  for (const auto& runs : {supporting_runs(1), [] {
                             std::vector<ClaimRun> one;
                             for (const ClaimRun& run : spoilt(contradictions()[0], true)) {
                               if (run.seed == 0) one.push_back(run);
                             }
                             return one;
                           }()}) {
    for (const Claim& claim : judge_claims(runs).claims) {
      CAPTURE(claim.id);
      CHECK(claim.verdict == Verdict::kInconclusive);
      CHECK_THAT(claim.sentence, ContainsSubstring("one seed gives no interval"));
      for (const ClaimPart& part : claim.parts) CHECK_FALSE(part.interval);
    }
  }
}

TEST_CASE("a share of seeds needs six of six to be supported") {
  CHECK(claim_of(judge_claims(supporting_runs(5)), "C5").verdict == Verdict::kInconclusive);
  CHECK(claim_of(judge_claims(supporting_runs(6)), "C5").verdict == Verdict::kSupported);
}

TEST_CASE("the values are those of the seeds, by hand") {
  std::vector<ClaimRun> runs;
  for (const ClaimRun& run : supporting_runs(2)) {
    if (run.arm == "cdsp") runs.push_back(run);
  }
  runs[0].informed_routing = {{1, 0}, {1, 0}, {0, 1}};  // separation 1 bit
  runs[1].informed_routing = {{1, 0}, {0, 1}, {1, 0}};  // (0 + 1) / 2 - 1
  const Claim claim = claim_of(judge_claims(runs), "C1");
  CHECK(values_of(claim.parts[0].values) == std::vector<double>{1.0, -0.5});
  CHECK(*claim.parts[0].estimate == Approx(0.25));
  CHECK(claim.parts[0].interval->high == Approx(0.25 + 12.7062 * 0.75).epsilon(1e-5));
}

TEST_CASE("differences pair by seed, and unpaired seeds do not count") {
  std::vector<ClaimRun> runs = supporting_runs(3);
  for (ClaimRun& run : runs) {
    if (run.arm == "blind" && run.seed == 2) run.seed = 9;
  }
  const Claim claim = claim_of(judge_claims(runs), "C6");
  REQUIRE(claim.parts[0].values.size() == 2);
  CHECK(claim.parts[0].paired);
  CHECK(claim.parts[0].values[0].value ==
        Approx(separation_index(runs[6].blind_routing) - separation_index(runs[3].blind_routing)));
}

TEST_CASE("a seed where a measure is not defined is left out and told of") {
  std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  runs[0].blind_routing[0] = {.25, .25, .25, .25};  // of a constant row there is no Pearson
  const Claims claims = judge_claims(runs);
  const Claim claim = claim_of(claims, "C5");
  CHECK(claim.verdict == Verdict::kSupported);
  CHECK(claim.parts[0].note == "not defined in 1 of 8 seeds");
  CHECK(claims_json(claims)["claims"][4]["parts"][0]["values"][0].is_null());
}

TEST_CASE("what no run has is not measured") {
  std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  for (ClaimRun& run : runs) {
    run.epochs.resize(2);
    for (ClaimEpoch& epoch : run.epochs) epoch.routing.pop_back();
    run.informed_routing.pop_back();
    run.blind_routing.pop_back();
    run.links.clear();
  }
  const Claims claims = judge_claims(runs);
  for (const char* id : {"C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9", "C10", "C11"}) {
    CAPTURE(id);
    CHECK(claim_of(claims, id).verdict == Verdict::kNotMeasured);
    const Claim claim = claim_of(claims, id);
    CHECK_THAT(claim.sentence, StartsWith("Not measured: ") &&
                                   (ContainsSubstring(" is not defined in 8 of 8 seeds.") ||
                                    ContainsSubstring(" a number in every seed")));
    const bool told = std::any_of(claim.parts.begin(), claim.parts.end(), [](const auto& part) {
      return part.note == "not defined in 8 of 8 seeds";
    });
    CHECK(told);
  }
}

TEST_CASE("without an arm a claim says which command measures it") {
  const Claims claims = judge_claims(without_arm("cdsp-no-conflict"));
  const Claim claim = claim_of(claims, "C11");
  CHECK(claim.verdict == Verdict::kNotMeasured);
  CHECK_THAT(claim.sentence, ContainsSubstring("no run of arm cdsp-no-conflict"));
  CHECK_THAT(claim.sentence, ContainsSubstring("cdsp compare baselines"));
  CHECK(claim_of(claims, "C7").verdict == Verdict::kSupported);
  const Claims no_blind = judge_claims(without_arm("blind"));
  CHECK(claim_of(no_blind, "C6").verdict == Verdict::kNotMeasured);
  CHECK(claim_of(no_blind, "C7").verdict == Verdict::kNotMeasured);
  CHECK(claim_of(no_blind, "C7").parts[0].verdict == Verdict::kSupported);
  for (const Claim& each : judge_claims({}).claims) CHECK(each.verdict == Verdict::kNotMeasured);
}

TEST_CASE("conflict is the cause only where all else is equal") {
  std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  const auto sentence_with = [&](const char* arm, const char* key, const char* value) {
    std::vector<ClaimRun> changed = runs;
    for (ClaimRun& run : changed) {
      for (auto& entry : run.config) {
        if (run.arm == arm && entry.first == key) entry.second = value;
      }
    }
    const Claim claim = claim_of(judge_claims(changed), "C11");
    CHECK(claim.verdict == Verdict::kNotMeasured);
    return claim.sentence;
  };
  CHECK_THAT(sentence_with("cdsp-no-conflict", "optimizer.lr", "0.1"),
             ContainsSubstring("differ in optimizer.lr (0.005 and 0.1)"));
  CHECK_THAT(sentence_with("cdsp-no-conflict", "conflict.lambda", "1.0"),
             ContainsSubstring("conflict.lambda: 1.0, not 0"));
  CHECK_THAT(sentence_with("cdsp", "conflict.lambda", "0.0"), ContainsSubstring("arm cdsp has"));
}

TEST_CASE("seeds without spread are judged by a point, and the part's note says so") {
  std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  for (ClaimRun& run : runs) {
    for (ClaimEpoch& epoch : run.epochs) {
      if (epoch.epoch > 5) epoch.alpha_sparsity = 0.3;
    }
  }
  const Claim claim = claim_of(judge_claims(runs), "C8");
  CHECK(claim.verdict == Verdict::kNotSupported);
  CHECK(claim.parts[3].interval->low == 0.0);
  CHECK(claim.parts[3].interval->high == 0.0);
  CHECK(claim.parts[3].note == "all equal");
  CHECK(claims_json(judge_claims(runs))["claims"][7]["parts"][3]["note"] == "all equal");
}

TEST_CASE("seeds without spread decide nothing while they are few") {
  // Every network has the same sparsity before training, so C8's first part has no spread.
  for (const uint64_t seeds : {2, 5, 6}) {
    CAPTURE(seeds);
    std::vector<ClaimRun> runs = supporting_runs(seeds);
    const Claim claim = claim_of(judge_claims(runs), "C8");
    CHECK(claim.parts[0].interval->low == claim.parts[0].interval->high);
    CHECK(claim.parts[0].verdict == (seeds < 6 ? Verdict::kInconclusive : Verdict::kSupported));
    CHECK((claim.parts[0].note == "all equal, which decides from 6 seeds on") == (seeds < 6));
    for (ClaimRun& run : runs) run.start.alpha_sparsity = 0.2;
    CHECK(claim_of(judge_claims(runs), "C8").parts[0].verdict ==
          (seeds < 6 ? Verdict::kInconclusive : Verdict::kNotSupported));
  }
  // Differences that are equal but for rounding have none either.
  std::vector<ClaimRun> runs = supporting_runs(2);
  for (ClaimRun& run : runs) {
    const double base = run.seed == 0 ? 0.1 : 0.3;
    run.epochs.back().train_accuracy = base + (run.arm == "baseline" ? 0.2 : 0.0);
  }
  CHECK(claim_of(judge_claims(runs), "C7").parts[0].verdict == Verdict::kInconclusive);
}

TEST_CASE("beside C1, C4 and C5 stands what the networks did before training") {
  const std::vector<ClaimRun> runs = supporting_runs(kSeeds);
  const Claims claims = judge_claims(runs);
  const auto beside = [&](const char* id, const std::string& name) {
    for (const ClaimPart& part : claim_of(claims, id).beside) {
      if (part.name == name) return part;
    }
    FAIL("nothing beside " << id << " is called " << name);
    return ClaimPart();
  };
  std::map<uint64_t, const ClaimRun*> cdsp, baseline;
  for (const ClaimRun& run : runs) {
    if (run.arm == "cdsp") cdsp[run.seed] = &run;
    if (run.arm == "baseline") baseline[run.seed] = &run;
  }
  for (const auto& [id, told] : {std::pair("C1", "informed"), std::pair("C4", "blind")}) {
    const bool informed = std::string(told) == "informed";
    const auto table = [&](const ClaimRun& run) {
      return informed ? run.informed_routing : run.blind_routing;
    };
    const std::string name = std::string("separation index ") + told + ", ";
    const ClaimPart start = beside(id, name + "CDSP before training");
    const ClaimPart gain = beside(id, name + "CDSP - CDSP before training");
    const ClaimPart gap = beside(id, name + "CDSP - baseline");
    beside(id, name + "baseline");
    beside(id, name + "blind baseline");
    CHECK(start.at_start);
    CHECK(start.threshold == 0.0);
    CHECK(gain.paired);
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      const double before = separation_index(informed ? cdsp[seed]->start.informed_routing
                                                      : cdsp[seed]->start.blind_routing);
      const double after = separation_index(table(*cdsp[seed]));
      CHECK(start.values[seed].value == before);
      CHECK(gain.values[seed].value == Approx(after - before));
      CHECK(gap.values[seed].value == Approx(after - separation_index(table(*baseline[seed]))));
    }
  }
  // Routing that is alike for all tasks from the start meets C5's first part, and the sentence says
  // so.
  CHECK(beside("C5", "Pearson(T0,T2), baseline blind before training").verdict ==
        Verdict::kSupported);
  CHECK(claim_of(claims, "C5").sentence ==
        "Supported: both parts hold, and untrained networks already meet 1 of the parts.");
  beside("C5", "Pearson(T0,T2), blind baseline");
  // Without knowing the start nothing is said of it.
  std::vector<ClaimRun> without = runs;
  for (ClaimRun& run : without) run.start = {};
  for (const ClaimPart& part : claim_of(judge_claims(without), "C4").beside)
    CHECK_FALSE(part.at_start);
}

TEST_CASE("claims say which suite has the arm that they lack") {
  std::vector<ClaimRun> runs = without_arm("cdsp-no-conflict");
  CHECK_THAT(claim_of(judge_claims(runs, "configs/paper-controls.yaml"), "C11").sentence,
             ContainsSubstring("--suite configs/paper-controls.yaml --seeds 0..4"));
  CHECK_THAT(claim_of(judge_claims(runs), "C11").sentence,
             ContainsSubstring("configs/paper-controls.yaml or configs/reference-controls.yaml"));
  CHECK(claims_that_lack_an_arm({"cdsp", "baseline", "blind", "cdsp-no-conflict"}).empty());
  const auto lacking = claims_that_lack_an_arm({"cdsp", "blind"});
  REQUIRE(lacking.size() == 4);
  CHECK(lacking[0].id == "C5");
  CHECK(lacking[0].arm == "baseline");
  CHECK(lacking[3].id == "C11");
}

TEST_CASE("an arm with a seed twice is refused") {
  std::vector<ClaimRun> runs = supporting_runs(2);
  runs.push_back(runs.front());
  CHECK(message_of<InputError>([&] { judge_claims(runs); }) ==
        "claims: arm baseline has seed 0 twice");
}

TEST_CASE("claims.json has every number, and the same every time") {
  const Claims claims = judge_claims(supporting_runs(kSeeds));
  const auto json = claims_json(claims);
  CHECK(json["format"] == 1);
  CHECK(json["confidence"] == 0.95);
  REQUIRE(json["claims"].size() == 11);
  const auto& part = json["claims"][0]["parts"][0];
  CHECK(json["claims"][0]["id"] == "C1");
  CHECK(json["claims"][0]["verdict"] == "supported");
  CHECK(part["direction"] == ">");
  CHECK(part["unit"] == "bits");
  CHECK(part["values"].size() == kSeeds);
  CHECK(part["interval"][0].get<double>() < part["estimate"].get<double>());
  CHECK(part["interval_bootstrap"][1].get<double>() > part["estimate"].get<double>());
  const auto& share = json["claims"][3]["parts"][1];
  CHECK(share["interval_kind"] == "clopper-pearson");
  CHECK(share["interval_kind"] == "clopper-pearson");
  CHECK(share["interval"][1] == 1.0);
  CHECK(json.dump() == claims_json(judge_claims(supporting_runs(kSeeds))).dump());
}
