#include "experiment/claims_judge.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/json_number.h"

namespace cdsp {
namespace {

constexpr uint64_t kStreamsPerClaim = 100, kFirstStreamBeside = 50;

/// Those values that are defined.
std::vector<double> defined_values(const ClaimPart& part) {
  std::vector<double> values = values_of(part.values);
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](double value) { return !std::isfinite(value); }),
               values.end());
  return values;
}

bool is_on_side(double value, Side side, double threshold) {
  switch (side) {
    case Side::kAbove:
      return value > threshold;
    case Side::kAtLeast:
      return value >= threshold;
    case Side::kBelow:
      return value < threshold;
    case Side::kAtMost:
      break;
  }
  return value <= threshold;
}

/// Whether the values differ by rounding at most, so that their spread says nothing.
bool all_alike(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *most - *least <= 1e-12 * std::max(std::abs(*least), std::abs(*most));
}

Verdict verdict_of(const Interval& interval, Side side, double threshold) {
  const bool low = is_on_side(interval.low, side, threshold);
  const bool high = is_on_side(interval.high, side, threshold);
  if (low && high) return Verdict::kSupported;
  return low || high ? Verdict::kInconclusive : Verdict::kNotSupported;
}

bool any_part(const Claim& claim, Verdict verdict) {
  return std::any_of(claim.parts.begin(), claim.parts.end(),
                     [verdict](const ClaimPart& part) { return part.verdict == verdict; });
}

/// What the numbers alone do not tell.
std::string note_on(const ClaimPart& part, const std::vector<double>& defined) {
  std::string note;
  const auto add = [&note](const std::string& text) { note += (note.empty() ? "" : ", ") + text; };
  if (part.estimate && !part.interval) add("one seed gives no interval");
  if (part.interval && !part.share && all_alike(defined)) {
    add("all equal");
    if (defined.size() < static_cast<size_t>(kSeedsWithoutSpread))
      add("which decides from " + std::to_string(kSeedsWithoutSpread) + " seeds on");
  }
  const size_t seeds = part.values.size();
  if (defined.size() < seeds) {
    add("not defined in " + std::to_string(seeds - defined.size()) + " of " +
        std::to_string(seeds) + (seeds == 1 ? " seed" : " seeds"));
  }
  return note;
}

nlohmann::ordered_json interval_json(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return nlohmann::ordered_json::array({interval->low, interval->high});
}

nlohmann::ordered_json part_json(const ClaimPart& part) {
  nlohmann::ordered_json json;
  json["name"] = part.name;
  json["unit"] = part.unit;
  json["paired"] = part.paired;
  json["threshold"] = part.threshold;
  json["direction"] = to_string(part.side);
  json["seeds"] = nlohmann::ordered_json::array();
  json["values"] = nlohmann::ordered_json::array();
  for (const SeedValue& each : part.values) {
    json["seeds"].push_back(each.seed);
    json["values"].emplace_back(number_json(each.value));
  }
  json["estimate"] = part.estimate ? number_json(*part.estimate) : nlohmann::json();
  json["interval"] = interval_json(part.interval);  // what the verdict is passed on
  json["interval_kind"] = part.share ? "clopper-pearson" : "student-t";
  json["interval_bootstrap"] = interval_json(part.interval_bootstrap);
  json["verdict"] = to_string(part.verdict);
  json["note"] = part.note;
  return json;
}

}  // namespace

void judge(ClaimPart& part, uint64_t stream) {
  const std::vector<double> values = defined_values(part);
  if (!values.empty()) {
    part.estimate = sample_mean(values);
    if (part.share) {
      const auto hits = std::count(values.begin(), values.end(), 1.0);
      part.interval = clopper_pearson_interval(hits, static_cast<int64_t>(values.size()));
    } else {
      part.interval = student_t_interval(values);
      part.interval_bootstrap = bootstrap_interval(values, stream);
    }
    const bool no_spread = !part.share && all_alike(values) &&
                           values.size() < static_cast<size_t>(kSeedsWithoutSpread);
    part.verdict = part.interval && !no_spread
                       ? verdict_of(*part.interval, part.side, part.threshold)
                       : Verdict::kInconclusive;
  }
  part.note = note_on(part, values);
}

void judge(Claim& claim, uint64_t number, const std::string& obstacle) {
  for (size_t i = 0; i < claim.parts.size(); ++i)
    judge(claim.parts[i], number * kStreamsPerClaim + i);
  for (size_t i = 0; i < claim.beside.size(); ++i)
    judge(claim.beside[i], number * kStreamsPerClaim + kFirstStreamBeside + i);
  const auto not_measured = [](const ClaimPart& part) { return !part.estimate; };
  claim.beside.erase(std::remove_if(claim.beside.begin(), claim.beside.end(), not_measured),
                     claim.beside.end());
  if (any_part(claim, Verdict::kNotSupported))
    claim.verdict = Verdict::kNotSupported;
  else if (any_part(claim, Verdict::kNotMeasured) || claim.parts.empty())
    claim.verdict = Verdict::kNotMeasured;
  else if (any_part(claim, Verdict::kInconclusive))
    claim.verdict = Verdict::kInconclusive;
  else
    claim.verdict = Verdict::kSupported;
  claim.sentence = sentence_of(claim, obstacle);
}

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSupported:
      return "supported";
    case Verdict::kNotSupported:
      return "not supported";
    case Verdict::kInconclusive:
      return "inconclusive";
    case Verdict::kNotMeasured:
      break;
  }
  return "not measured";
}

const char* to_string(Side side) {
  switch (side) {
    case Side::kAbove:
      return ">";
    case Side::kAtLeast:
      return ">=";
    case Side::kBelow:
      return "<";
    case Side::kAtMost:
      break;
  }
  return "<=";
}

nlohmann::ordered_json claims_json(const Claims& claims) {
  nlohmann::ordered_json json;
  json["format"] = 1;
  json["confidence"] = kConfidence;
  json["seeds"] = claims.seeds;
  json["claims"] = nlohmann::ordered_json::array();
  for (const Claim& claim : claims.claims) {
    nlohmann::ordered_json entry;
    entry["id"] = claim.id;
    entry["title"] = claim.title;
    entry["verdict"] = to_string(claim.verdict);
    entry["sentence"] = claim.sentence;
    entry["parts"] = nlohmann::ordered_json::array();
    for (const ClaimPart& part : claim.parts) entry["parts"].push_back(part_json(part));
    entry["beside"] = nlohmann::ordered_json::array();
    for (const ClaimPart& part : claim.beside) entry["beside"].push_back(part_json(part));
    json["claims"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace cdsp
