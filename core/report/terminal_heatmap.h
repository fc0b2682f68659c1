// Routing tables as shaded text: a row for each task, a column for each expert, the share in every
// cell.
#pragma once

#include <string>
#include <vector>

#include "eval/routing_measures.h"
#include "report/terminal.h"

namespace cdsp {

/// The shares of one layer, rows named by `tasks`. Shades run from 0 to `largest`, so that tables
/// shown together can share one scale. With colours the cells have a viridis background, without
/// them a block (or an ASCII character) of that darkness. Experts that do not fit on the terminal's
/// lines follow below, with a heading and the tasks' names again.
std::string terminal_heatmap(const RoutingRows& table, const std::vector<std::string>& tasks,
                             double largest, const Terminal& terminal);

/// The largest share of a table, at least a small positive number.
double largest_share(const RoutingRows& table);

}  // namespace cdsp
