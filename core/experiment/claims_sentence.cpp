// A claim's verdict in one sentence: what decided it, by name. The numbers of a claim of several
// parts stand with its parts.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "experiment/claims_judge.h"

namespace cdsp {
namespace {

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

/// A difference of accuracies, a fraction in the files, is said in percentage points.
std::string number_in_words(const ClaimPart& part, double value) {
  return short_number(part.unit == kOfAccuracy ? 100 * value : value);
}

/// "0.21 bits", "2 of 5 seeds, a share", "-3.1 percentage points".
std::string estimate_in_words(const ClaimPart& part, int64_t seeds) {
  if (part.share) {
    const double hits = *part.estimate * static_cast<double>(seeds);
    return std::to_string(std::llround(hits)) + " of " + std::to_string(seeds) +
           (seeds == 1 ? " seed" : " seeds") + ", a share";
  }
  const std::string number = number_in_words(part, *part.estimate);
  if (part.unit == kOfAccuracy) return number + " percentage points";
  return number + (part.unit.empty() ? "" : " " + part.unit);
}

std::string quoted(const ClaimPart& part) { return "'" + part.name + "'"; }

/// "'separation index' is 0.031 bits [0.012, 0.05] over 5 seeds, claimed > 0 (NOTE)"
std::string finding_of(const ClaimPart& part) {
  if (!part.estimate) return quoted(part) + " is " + part.note;
  const auto seeds = std::count_if(part.values.begin(), part.values.end(),
                                   [](const SeedValue& each) { return std::isfinite(each.value); });
  std::string text = quoted(part) + " is " + estimate_in_words(part, seeds);
  if (part.interval) {
    text += " [" + number_in_words(part, part.interval->low) + ", " +
            number_in_words(part, part.interval->high) + "]";
    if (!part.share) text += " over " + std::to_string(seeds) + " seeds";
  }
  text += ", claimed " + std::string(to_string(part.side)) + " " +
          number_in_words(part, part.threshold);
  return text + (part.note.empty() ? "" : " (" + part.note + ")");
}

/// The parts of a claim that have this verdict.
std::vector<const ClaimPart*> parts_that_are(const Claim& claim, Verdict verdict) {
  std::vector<const ClaimPart*> parts;
  for (const ClaimPart& part : claim.parts) {
    if (part.verdict == verdict) parts.push_back(&part);
  }
  return parts;
}

std::string names_of(const std::vector<const ClaimPart*>& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? " and " : ", ";
    text += quoted(*parts[i]);
  }
  return text;
}

/// "1 of 4 parts fails, 'NAME'", "both parts fail", "all 4 parts fail".
std::string those_parts(const Claim& claim, const std::vector<const ClaimPart*>& parts,
                        const char* one_does, const char* several_do) {
  const std::string all = std::to_string(claim.parts.size());
  if (parts.size() == claim.parts.size())
    return (parts.size() == 2 ? "both parts " : "all " + all + " parts ") + several_do;
  return std::to_string(parts.size()) + " of " + all + " parts " +
         (parts.size() == 1 ? one_does : several_do) + ", " + names_of(parts);
}

/// What decided a claim of several parts that is measured.
std::string deciding_parts(const Claim& claim) {
  const auto holding = parts_that_are(claim, Verdict::kSupported),
             failing = parts_that_are(claim, Verdict::kNotSupported),
             open = parts_that_are(claim, Verdict::kInconclusive),
             unmeasured = parts_that_are(claim, Verdict::kNotMeasured);
  if (!failing.empty()) {
    std::string text = those_parts(claim, failing, "fails", "fail");
    if (!unmeasured.empty()) {
      text += ", and " + std::to_string(unmeasured.size()) +
              (unmeasured.size() == 1 ? " is not measured" : " are not measured");
    }
    return text;
  }
  if (open.empty()) return those_parts(claim, holding, "holds", "hold");
  const bool no_interval =
      std::none_of(claim.parts.begin(), claim.parts.end(),
                   [](const ClaimPart& part) { return part.interval.has_value(); });
  std::string text = no_interval ? "one seed gives no interval, so that " : "";
  text += those_parts(claim, open, "is open", "are open");
  if (!holding.empty()) {
    text += holding.size() == 1 ? ", while the other holds"
                                : ", while the other " + std::to_string(holding.size()) + " hold";
  }
  return text;
}

/// Why a claim is not measured where no arm is missing.
std::string reason_of_no_measure(const Claim& claim) {
  std::vector<const ClaimPart*> undefined;
  for (const ClaimPart* part : parts_that_are(claim, Verdict::kNotMeasured)) {
    if (!part->values.empty()) undefined.push_back(part);
  }
  if (undefined.empty()) return "no seed has runs of all the arms that it compares";
  if (claim.parts.size() == 1) return finding_of(claim.parts.front());
  return those_parts(claim, undefined, "lacks a number in every seed",
                     "lack a number in every seed");
}

/// ", and untrained networks already meet it", where they do.
std::string met_untrained(const Claim& claim) {
  const auto met = std::count_if(
      claim.beside.begin(), claim.beside.end(),
      [](const ClaimPart& part) { return part.at_start && part.verdict == Verdict::kSupported; });
  if (met == 0) return "";
  return ", and untrained networks already meet " +
         (claim.parts.size() == 1 ? "it" : std::to_string(met) + " of the parts");
}

}  // namespace

std::string sentence_of(const Claim& claim, const std::string& obstacle) {
  std::string verdict = to_string(claim.verdict);
  verdict.front() = static_cast<char>(verdict.front() - 'a' + 'A');
  std::string text = verdict + ": ";
  if (claim.verdict == Verdict::kNotMeasured)
    return text + (obstacle.empty() ? reason_of_no_measure(claim) : obstacle) + ".";
  text += claim.parts.size() == 1 ? finding_of(claim.parts.front()) : deciding_parts(claim);
  return text + met_untrained(claim) + ".";
}

}  // namespace cdsp
