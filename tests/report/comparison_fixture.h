// A comparison's folder as the program writes it, with drawn numbers in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cdsp::test {

struct ComparisonShape {
  std::vector<std::string> arms = {"baseline", "blind", "cdsp"};  // others are variants of cdsp
  int64_t seeds = 3, epochs = 4, steps_an_epoch = 6;
  bool claims = true, experiments = true;
};

/// Writes comparison.json, claims.json, experiments/ and every run's files below `folder`.
void write_comparison(const std::filesystem::path& folder, const ComparisonShape& shape);

/// Writes one run's files.
void write_run(const std::filesystem::path& folder, const std::string& arm, int64_t seed,
               const ComparisonShape& shape);

/// Writes ablation.json with its runs, and theory.json.
void write_ablation(const std::filesystem::path& folder, const ComparisonShape& shape);
void write_theory(const std::filesystem::path& folder);

}  // namespace cdsp::test
