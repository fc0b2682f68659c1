#include "report/data/claims_data.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "report/data/json_file.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;

/// A difference of accuracies, written as a fraction, as the tables show it.
void show_in_points(IntervalRow& part) {
  constexpr double kPoints = 100;
  part.unit = "percentage points";
  part.estimate *= kPoints;
  for (double& value : part.values) value *= kPoints;
  for (ShownInterval* interval : {&part.judged, &part.bootstrap}) {
    if (*interval) *interval = {kPoints * (*interval)->first, kPoints * (*interval)->second};
  }
  if (part.threshold) *part.threshold *= kPoints;
}

IntervalRow read_part(const Json& json) {
  IntervalRow part;
  part.label = json.at("name").get<std::string>();
  part.unit = text_of(json, "unit");
  part.values = numbers_of(json, "values");
  part.estimate = number_of(json, "estimate");
  part.judged = interval_of(json, "interval");
  part.bootstrap = interval_of(json, "interval_bootstrap");
  const double threshold = number_of(json, "threshold");
  if (std::isfinite(threshold)) part.threshold = threshold;
  part.direction = text_of(json, "direction");
  part.verdict = text_of(json, "verdict");
  part.note = text_of(json, "note");
  part.of_seeds = part.unit == "of seeds";
  if (part.of_seeds) part.unit = "share of seeds";
  if (part.unit == "accuracy") show_in_points(part);
  return part;
}

}  // namespace

const ClaimData* ClaimsData::find(const std::string& id) const {
  for (const ClaimData& claim : claims) {
    if (claim.id == id) return &claim;
  }
  return nullptr;
}

ClaimsData read_claims(const std::filesystem::path& path) {
  ClaimsData data;
  read_json_file(path, [&](const Json& json) {
    data.confidence = json.at("confidence").get<double>();
    data.seeds = json.value("seeds", std::vector<uint64_t>());
    for (const Json& entry : json.at("claims")) {
      ClaimData claim;
      claim.id = entry.at("id").get<std::string>();
      claim.title = entry.at("title").get<std::string>();
      claim.verdict = entry.at("verdict").get<std::string>();
      claim.sentence = text_of(entry, "sentence");
      for (const Json& part : entry.value("parts", Json::array())) {
        claim.parts.push_back(read_part(part));
      }
      for (const Json& part : entry.value("beside", Json::array())) {
        claim.beside.push_back(read_part(part));
      }
      data.claims.push_back(claim);
    }
  });
  return data;
}

}  // namespace cdsp::page
