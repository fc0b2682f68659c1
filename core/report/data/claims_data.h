// claims.json: the paper's claims as statistics over seeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "report/figures/interval_chart.h"

namespace cdsp::page {

struct ClaimData {
  std::string id, title;
  std::string verdict;   // supported | not supported | inconclusive | not measured
  std::string sentence;  // the verdict and what decided it
  std::vector<IntervalRow> parts;
  std::vector<IntervalRow> beside;  // shown, not judged with the claim
};

struct ClaimsData {
  double confidence = 0.95;
  std::vector<uint64_t> seeds;
  std::vector<ClaimData> claims;

  /// Null if it is not among them.
  const ClaimData* find(const std::string& id) const;
};

/// Throws InputError naming the file.
ClaimsData read_claims(const std::filesystem::path& path);

}  // namespace cdsp::page
