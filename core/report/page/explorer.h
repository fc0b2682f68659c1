// Routing, topology and conflict epoch by epoch, behind a slider.
#pragma once

#include "report/page/figure_set.h"

namespace cdsp::page {

/// Every run that has tables, by arm and seed; `first` is the arm to begin with. Without JavaScript
/// the last epoch of every arm's first seed is seen. Empty if no run has tables.
Html explorer(const ReportData& data, const std::string& first, FigureSet& figures);

}  // namespace cdsp::page
