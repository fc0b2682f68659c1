// The three variants side by side, with a linear model on pixels as the yardstick.
#pragma once

#include <string>

#include "experiment/compare_baselines.h"
#include "report/routing_heatmap_svg.h"
#include "report/terminal.h"

namespace cdsp {

/// The tables for the terminal: results by variant, then accuracy by task.
std::string comparison_text(const Comparison& comparison);

/// A whole Markdown page: what was compared, the same tables, how to read them.
std::string comparison_markdown(const Comparison& comparison);

/// Layer 0 of the first seed's runs, {informed, blind} of each variant.
HeatmapPicture comparison_heatmaps(const Comparison& comparison);
std::string comparison_heatmap_text(const Comparison& comparison, const Terminal& terminal);

}  // namespace cdsp
