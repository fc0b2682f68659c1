// Routing and overlap of an arm's seeds, one seed at a time.
#pragma once

#include <string>
#include <vector>

#include "report/page/figure_set.h"

namespace cdsp::page {

/// Routing of layer 0 at two epochs beside each other: the second, as in the paper, and the last.
Html two_stages(const ReportData& data, const std::string& arm, FigureSet& figures);

/// The overlap of the experts' subspaces at the end of an arm's runs, a picture for each layer.
Html overlap_figures(const ReportData& data, const std::string& arm, FigureSet& figures);

/// Routing with the task told and withheld, layer 0, beside each other, a row for each arm. A
/// sentence for an arm without a blind evaluation.
Html informed_and_blind(const ReportData& data, const std::vector<std::string>& arms,
                        FigureSet& figures);

}  // namespace cdsp::page
