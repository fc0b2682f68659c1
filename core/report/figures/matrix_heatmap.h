// Matrices as shaded cells with their values in them, as an SVG.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "eval/routing_measures.h"

namespace cdsp {

struct MatrixPanel {
  std::string title;   // may be empty
  RoutingRows values;  // [row][column], all panels of one shape
};

struct MatrixHeatmap {
  std::string title, subtitle;
  std::string description;          // what the picture shows, in words
  std::string legend;               // what a cell is, with its unit
  std::vector<std::string> rows;    // their names; the columns are experts, E0 and on
  double largest = 1;               // the scale's upper end, its lower end is 0
  int decimals = 2;                 // of the values in the cells
  std::vector<MatrixPanel> panels;  // filled row by row
  size_t columns = 1;               // panels side by side
};

/// Every panel on the same viridis scale. The cells of a panel stand in a group of their own
/// (data-part="cells"), rectangle and value by turns, and the subtitle bears data-part="subtitle",
/// so that a page can show other values in the same picture.
std::string matrix_heatmap_svg(const MatrixHeatmap& heatmap);

/// The upper end of a scale that shows all of `values`: rounded up to a tenth for shares, to two
/// significant digits for what is smaller.
double scale_end(double largest);

/// "mnist selects expert 6 most (28 %), ..."
std::string preferences_in_words(const RoutingRows& shares, const std::vector<std::string>& tasks);

}  // namespace cdsp
