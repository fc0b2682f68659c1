#include "experiment/synthetic_claims.h"

#include "support/catch.h"

namespace cdsp::test {
namespace {

constexpr int64_t kEpochs = 10;

const RoutingRows kByTexture = {{.5, .4, .1, .0}, {.1, .1, .3, .5}, {.1, .2, .3, .4}};
const RoutingRows kByMeaning = {{.5, .4, .1, .0}, {.4, .5, .1, .0}, {.1, .1, .3, .5}};
const RoutingRows kBlindCdsp = {{.5, .4, .1, .0}, {.5, .3, .1, .1}, {.3, .1, .1, .5}};
const RoutingRows kBaselineInformed = {{.6, .2, .1, .1}, {.1, .6, .2, .1}, {.1, .1, .2, .6}};
const RoutingRows kAlike = {{.4, .3, .2, .1}, {.4, .3, .2, .1}, {.4, .3, .2, .1}};

/// Moves a little of the third task's load, by the seed.
RoutingRows shifted(RoutingRows table, uint64_t seed) {
  const double amount = 0.004 * static_cast<double>(seed % 5);
  table[2][0] += amount;
  table[2][1] -= amount;
  return table;
}

double jitter(uint64_t seed) { return 0.0004 * static_cast<double>(seed % 3); }

ClaimRun make_run(const std::string& arm, uint64_t seed) {
  ClaimRun run;
  run.arm = arm;
  run.seed = seed;
  const bool no_conflict = arm == "cdsp-no-conflict", baseline = arm == "baseline";
  run.config = {{"conflict.lambda", no_conflict ? "0.0" : "10.0"}, {"optimizer.lr", "0.005"}};
  const bool cdsp = arm == "cdsp";
  run.informed_routing = shifted(cdsp ? kByMeaning : baseline ? kBaselineInformed : kAlike, seed);
  run.blind_routing = shifted(cdsp ? kBlindCdsp : kAlike, seed);
  const double accuracy = (baseline ? 0.95 : arm == "blind" ? 0.93 : 0.94) + jitter(seed);
  const double loss = (baseline ? 0.14 : arm == "blind" ? 0.17 : 0.15) - jitter(seed * 2 + 1);
  for (int64_t epoch = 1; epoch <= kEpochs; ++epoch) {
    const double behind = 0.1 / static_cast<double>(epoch) * (baseline ? 1.0 : 2.0);
    const double sparsity =
        epoch <= 3 ? 0.1 * static_cast<double>(epoch) : (epoch % 2 == 0 ? 0.30 : 0.28);
    run.epochs.push_back({epoch, loss + behind, accuracy - behind, loss + behind, accuracy - behind,
                          epoch <= 3 ? kByTexture : run.informed_routing, sparsity,
                          epoch == 1 ? -4.0 : -5.0 - jitter(seed)});
  }
  run.start = {shifted(kAlike, seed), shifted(kAlike, seed), 0.0};
  run.links = {{{.9, .2, .1, .1}, {.1, .88, .1, .1}, {.1, .1, .5, .1}, {.1, .1, .1, .4}}};
  run.links[0][0][0] += jitter(seed);
  return run;
}

}  // namespace

std::vector<ClaimRun> supporting_runs(uint64_t seeds) {
  std::vector<ClaimRun> runs;
  for (const char* arm : {"baseline", "blind", "cdsp", "cdsp-no-conflict"}) {
    for (uint64_t seed = 0; seed < seeds; ++seed) runs.push_back(make_run(arm, seed));
  }
  return runs;
}

Claim claim_of(const Claims& claims, const std::string& id) {
  for (const Claim& claim : claims.claims) {
    if (claim.id == id) return claim;
  }
  FAIL("no claim " << id);
  return {};
}

}  // namespace cdsp::test
