// What the benchmarks' subcommands share: their lists on the command line, and the config they
// start from.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "app/commands.h"
#include "base/error.h"
#include "config/config.h"
#include "experiment/step_products.h"

namespace cdsp::app {

inline constexpr std::array<Variant, 3> kBenchVariants = {Variant::kBaseline, Variant::kBlind,
                                                          Variant::kCdsp};
inline constexpr std::array<DType, 2> kBenchDTypes = {DType::kFloat32, DType::kFloat64};
inline constexpr std::array<BenchPhase, 2> kBenchPhases = {BenchPhase::kTrain,
                                                           BenchPhase::kEvaluate};

/// The values that the words spell; throws InputError naming those there are. Names is anything
/// that to_string() knows.
template <typename Enum, size_t Count>
std::vector<Enum> spelled(const char* option, const std::vector<std::string>& words,
                          const std::array<Enum, Count>& values) {
  std::vector<Enum> result;
  std::string allowed;
  for (const Enum value : values)
    allowed += (allowed.empty() ? "" : ", ") + std::string(to_string(value));
  for (const std::string& word : words) {
    const size_t before = result.size();
    for (const Enum value : values) {
      if (word == to_string(value)) result.push_back(value);
    }
    if (result.size() == before) {
      throw InputError(std::string(option) + ": found '" + word + "'; allowed: " + allowed);
    }
  }
  return result;
}

/// An option that takes a list: --batch 64,128.
template <typename Value>
CLI::Option* add_list(CLI::App& command, const char* name, std::vector<Value>& values,
                      const char* text) {
  return command.add_option(name, values, text)
      ->capture_default_str()
      ->delimiter(',')
      ->type_name("LIST")
      ->allow_extra_args(false);
}

/// The same of numbers within bounds.
CLI::Option* add_numbers(CLI::App& command, const char* name, std::vector<int64_t>& values,
                         const char* text, int64_t smallest, int64_t largest);

/// One number within bounds.
CLI::Option* add_number(CLI::App& command, const char* name, int64_t& value, const char* text,
                        int64_t smallest, int64_t largest);

/// --steps and --repeats.
void add_measurement_options(CLI::App& command, int64_t& steps, int64_t& repeats);

/// A config key that a benchmark sets by itself, and what to use instead.
using OwnKey = std::pair<const char*, const char*>;

/// The paper's config with the overrides. Throws InputError for a key of `own`, which must not seem
/// to have been heard.
Config bench_config(const std::vector<std::string>& overrides, const std::vector<OwnKey>& own);

}  // namespace cdsp::app
