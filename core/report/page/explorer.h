// Routing, topology and conflict epoch by epoch, behind a slider.
#pragma once

#include "report/page/figure_set.h"

namespace cdsp::page {

/// One run of every arm that has tables; `first` is the arm to begin with. Without JavaScript the
/// last epoch of every arm is seen. Empty if no run has tables.
Html explorer(const ReportData& data, const std::string& first, FigureSet& figures);

/// The overlap of the experts' subspaces at the end of a run, a picture for each layer.
Html overlap_figures(const RunData& run, FigureSet& figures);

/// Routing with the task told and withheld, layer 0, beside each other. A sentence if there was no
/// blind evaluation.
Html informed_and_blind(const RunData& run, FigureSet& figures);

}  // namespace cdsp::page
