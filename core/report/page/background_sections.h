// What stands behind the figures: settings, versions and machines, and the theory's checks.
#pragma once

#include "report/page/figure_set.h"

namespace cdsp::page {

/// The keys in which the arms differ, and every key of CDSP or the first arm.
Html config_section(const ReportData& data);
/// Where each run came from.
Html provenance_section(const ReportData& data);
/// A part of theory.json.
Html theory_part(const TheoryPart& part, FigureSet& figures);

}  // namespace cdsp::page
