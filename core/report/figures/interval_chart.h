// Estimates with their intervals, a row each, as an SVG: against the thresholds that decide a
// claim, or arm by arm.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cdsp {

using ShownInterval = std::optional<std::pair<double, double>>;

struct IntervalRow {
  std::string label, unit;
  std::vector<double> values;       // one for each seed
  double estimate = 0;              // NaN if there is none
  ShownInterval judged, bootstrap;  // judged: Student's t, or Clopper and Pearson's for a share
  std::optional<double> threshold;
  std::string direction;  // ">", ">=", "<", "<=": the side that is needed; empty: none is
  std::string verdict;    // in words; empty: nothing is judged
  std::string note;       // what the numbers alone do not tell; shown in tables only
  bool of_seeds = false;  // the share of seeds in which something holds
};

struct IntervalChart {
  std::string title, subtitle;
  std::vector<IntervalRow> rows;  // neighbours of the same unit share an axis
};

std::string interval_chart_svg(const IntervalChart& chart);

/// "≥ 0.85", "> 0"; empty without a threshold or a side of it.
std::string needed_in_words(const IntervalRow& row);

/// "0.123"; of a share of seeds "4 of 6 seeds".
std::string estimate_in_words(const IntervalRow& row, int digits = 3);

}  // namespace cdsp
