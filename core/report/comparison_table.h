// The arms of a comparison side by side, with the published figures and a linear model on pixels as
// the yardsticks.
#pragma once

#include <string>
#include <vector>

#include "experiment/comparison.h"
#include "report/routing_heatmap_svg.h"
#include "report/terminal.h"

namespace cdsp {

/// "0.93 ± 0.01", the mean times `scale`; without spread for one seed, "-" without a value.
std::string spread_text(const Spread& spread, double scale, int decimals, bool with_sign = false);
/// "[0.92, 0.94]", "-" without an interval.
std::string interval_text(const Spread& spread, double scale, int decimals);

/// "warning: SENTENCE", a line for each note.
std::string notes_text(const std::vector<std::string>& notes);

/// "**Warning:** SENTENCE", a paragraph for each note.
std::string notes_markdown(const std::vector<std::string>& notes);

/// The tables for the terminal: notes, the paper's Table A2, routing, accuracy by task.
std::string comparison_text(const Comparison& comparison);

/// A whole Markdown page: what was compared, the same tables, how to read them.
std::string comparison_markdown(const Comparison& comparison);

/// Layer 0 of the first seed's runs, {informed, blind} of each arm.
HeatmapPicture comparison_heatmaps(const Comparison& comparison);
std::string comparison_heatmap_text(const Comparison& comparison, const Terminal& terminal);

}  // namespace cdsp
