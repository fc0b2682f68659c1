// Estimates with their intervals against the thresholds that decide a claim, as an SVG.
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
  std::string direction;  // ">", ">=", "<", "<=": the side that the claim needs
  std::string verdict;    // in words
};

struct IntervalChart {
  std::string title, subtitle;
  std::vector<IntervalRow> rows;  // neighbours of the same unit share an axis
};

std::string interval_chart_svg(const IntervalChart& chart);

/// "≥ 0.85", "> 0"; empty without a threshold.
std::string needed_in_words(const IntervalRow& row);

}  // namespace cdsp
