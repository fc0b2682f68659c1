// Runs as the claims read them, made up so that every claim holds; tests spoil them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiment/claims.h"

namespace cdsp::test {

/// Runs of the arms baseline, blind, cdsp and cdsp-no-conflict with seeds 0 to `seeds` - 1, a
/// little different from seed to seed, of ten epochs; before training they route all tasks alike.
std::vector<ClaimRun> supporting_runs(uint64_t seeds);

/// The claim of that id, without which the test fails.
Claim claim_of(const Claims& claims, const std::string& id);

}  // namespace cdsp::test
