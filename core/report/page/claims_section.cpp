#include "report/page/claims_section.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "report/figures/axis.h"
#include "report/page/html_table.h"
#include "report/text_table.h"

namespace cdsp::page {
namespace {

/// A class for the look of a verdict; the verdict itself is always there in words.
const char* look_of(const std::string& verdict) {
  if (verdict == "supported") return "supported";
  if (verdict == "not supported") return "rejected";
  if (verdict == "inconclusive") return "open";
  return "unmeasured";
}

const char* sign_of(const std::string& verdict) {
  if (verdict == "supported") return "✓";
  if (verdict == "not supported") return "✗";
  if (verdict == "inconclusive") return "≈";
  return "–";
}

Html verdict_mark(const std::string& verdict) {
  return fill("verdict",
              {{"look", look_of(verdict)}, {"sign", sign_of(verdict)}, {"verdict", verdict}});
}

std::string confidence_text(double confidence) {
  return short_number(100 * confidence) + " % interval";
}

Html verdict_table(const ClaimsData& claims) {
  Html rows;
  for (const ClaimData& claim : claims.claims) {
    rows += fill("claim-row",
                 {{"id", claim.id},
                  {"sort", claim.id.substr(claim.id.find_first_of("0123456789") == std::string::npos
                                               ? 0
                                               : claim.id.find_first_of("0123456789"))},
                  {"title", claim.title},
                  {"verdict", verdict_mark(claim.verdict)},
                  {"sentence", claim.sentence}});
  }
  return fill("claims-table", {{"rows", rows}});
}

std::string range_text(const ShownInterval& interval) {
  if (!interval) return "-";
  return short_number(interval->first, 4) + " to " + short_number(interval->second, 4);
}

Cell range_cell(const ShownInterval& interval) {
  return {range_text(interval), interval ? interval->first : std::nan("")};
}

Html parts_table(const ClaimsData& claims) {
  const std::string interval = confidence_text(claims.confidence);
  HtmlTable table("Every part of a claim in numbers", {{"Claim", false},
                                                       {"Quantity", false},
                                                       {"Judged", false},
                                                       {"Seeds"},
                                                       {"Estimate"},
                                                       {interval},
                                                       {"Bootstrap interval"},
                                                       {"Needed"},
                                                       {"Verdict", false}});
  const auto add = [&table](const std::string& id, const IntervalRow& part, const char* judged) {
    const bool has_unit = !part.unit.empty() && !part.of_seeds;  // a share says it in its numbers
    const std::string quantity = part.label + (has_unit ? " (" + part.unit + ")" : "");
    const std::string needed = part.threshold ? needed_in_words(part) : "-";
    const std::string verdict = part.verdict + (part.note.empty() ? "" : " (" + part.note + ")");
    const auto seeds = std::count_if(part.values.begin(), part.values.end(),
                                     [](double value) { return std::isfinite(value); });
    table.add_row({id, quantity, judged, Cell(std::to_string(seeds), static_cast<double>(seeds)),
                   Cell(estimate_in_words(part, 4), part.estimate), range_cell(part.judged),
                   range_cell(part.bootstrap), Cell(needed, part.threshold.value_or(std::nan(""))),
                   verdict});
  };
  for (const ClaimData& claim : claims.claims) {
    for (const IntervalRow& part : claim.parts) add(claim.id, part, "yes");
    for (const IntervalRow& part : claim.beside) add(claim.id, part, "beside");
  }
  return table.empty() ? Html{} : table.html();
}

}  // namespace

Html claims_section(const ClaimsData& claims, FigureSet& figures) {
  Html body = claims.seeds.size() == 1
                  ? fill("claims-intro-one", {{"seed", seeds_in_words(claims.seeds)}})
                  : fill("claims-intro", {{"interval", confidence_text(claims.confidence)},
                                          {"seeds", seeds_in_words(claims.seeds)}});
  body += verdict_table(claims);
  Html pictures;
  for (const ClaimData& claim : claims.claims) {
    if (claim.parts.empty()) continue;
    pictures += figures.add("claim_" + claim.id,
                            interval_chart_svg({claim.id + ": " + claim.title, "", claim.parts}));
  }
  if (!pictures.empty()) {
    body += fill("intervals-key", {{"interval", confidence_text(claims.confidence)}});
    body += fill("figures", {{"figures", pictures}});
  }
  body += parts_table(claims);
  return body;
}

Html claim_list(const ReportData& data, const std::vector<std::string>& ids) {
  Html items;
  if (data.claims) {
    for (const std::string& id : ids) {
      const ClaimData* claim = data.claims->find(id);
      if (claim == nullptr) continue;
      items += fill("claim-item", {{"id", claim->id},
                                   {"title", claim->title},
                                   {"verdict", verdict_mark(claim->verdict)},
                                   {"sentence", claim->sentence}});
    }
  }
  return items.empty() ? Html{} : fill("claim-list", {{"items", items}});
}

std::string verdicts_in_words(const ClaimsData& claims) {
  std::map<std::string, int> counts;
  for (const ClaimData& claim : claims.claims) ++counts[claim.verdict];
  std::string text;
  for (const char* verdict : {"supported", "not supported", "inconclusive", "not measured"}) {
    if (counts[verdict] == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(counts[verdict]) + " " + verdict;
  }
  return text;
}

}  // namespace cdsp::page
