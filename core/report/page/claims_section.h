// The claims: verdicts in words, and the intervals that they rest on.
#pragma once

#include <string>
#include <vector>

#include "report/page/figure_set.h"

namespace cdsp::page {

/// Table, intervals against their thresholds, and every part in numbers.
Html claims_section(const ClaimsData& claims, FigureSet& figures);

/// Those of the claims that have these ids, as a list; empty if none has.
Html claim_list(const ReportData& data, const std::vector<std::string>& ids);

/// "3 supported, 1 not supported, ..."
std::string verdicts_in_words(const ClaimsData& claims);

}  // namespace cdsp::page
