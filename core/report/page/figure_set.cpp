#include "report/page/figure_set.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "report/figures/axis.h"
#include "report/figures/matrix_heatmap.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp::page {
namespace {

std::string file_stem(const std::string& name) {
  std::string stem;
  for (const char c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' ||
                       c == '+' || c == '_';
    stem += plain ? c : '_';
  }
  return stem;
}

/// "expert 3 to expert 5 (0.98)" for the largest entry off the diagonal.
std::string strongest_in_words(const RoutingRows& values, int decimals) {
  double largest = -1;
  std::string words;
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values[i].size(); ++j) {
      if (i == j || !(values[i][j] > largest)) continue;
      largest = values[i][j];
      words = "expert " + std::to_string(i) + " with expert " + std::to_string(j) + " (" +
              fixed_number(largest, decimals) + ")";
    }
  }
  return words;
}

}  // namespace

Html FigureSet::add(const std::string& name, const std::string& svg, const std::string& caption) {
  const std::string stem = file_stem(name);
  std::string file = stem + ".svg";
  const auto taken = [&] {
    return std::any_of(files_.begin(), files_.end(),
                       [&](const auto& entry) { return entry.first == file; });
  };
  for (int number = 2; taken(); ++number) file = stem + "_" + std::to_string(number) + ".svg";
  files_.emplace_back(file, svg);
  const Html words = caption.empty() ? Html{} : fill("caption", {{"text", caption}});
  return fill("figure", {{"svg", Html{svg}}, {"caption", words}});
}

double routing_scale_of(const ReportData& data) {
  double largest = 0.1;
  const auto see = [&](const Layers& layers) {
    for (const RoutingRows& rows : layers) largest = std::max(largest, largest_share(rows));
  };
  for (const RunData& run : data.runs) {
    see(run.informed);
    see(run.blind);
    for (const auto& [epoch, tables] : run.tables) see(tables.routing);
  }
  return scale_end(largest);
}

std::string routing_svg(const std::string& title, const std::string& subtitle,
                        const RoutingRows& shares, const std::vector<std::string>& tasks,
                        double scale) {
  MatrixHeatmap heatmap;
  heatmap.title = title;
  heatmap.subtitle = subtitle;
  heatmap.rows = tasks;
  heatmap.rows.resize(shares.size());
  heatmap.description = preferences_in_words(shares, heatmap.rows) + ".";
  heatmap.legend = "Share of a task's selections (rows sum to 1)";
  heatmap.largest = scale;
  heatmap.panels = {{"", shares}};
  return matrix_heatmap_svg(heatmap);
}

MatrixLook matrix_look(MatrixKind kind, double largest) {
  MatrixLook look;
  if (kind != MatrixKind::kConflict) return look;
  look.scale = scale_end(largest);
  look.decimals = look.scale < 0.1 ? 3 : 2;
  return look;
}

std::string matrix_svg(MatrixKind kind, const std::string& title, const std::string& subtitle,
                       const RoutingRows& values, const MatrixLook& look) {
  MatrixHeatmap heatmap;
  heatmap.title = title;
  heatmap.subtitle = subtitle;
  for (size_t row = 0; row < values.size(); ++row) {
    heatmap.rows.push_back("E" + std::to_string(row));
  }
  switch (kind) {
    case MatrixKind::kTopology:
      heatmap.legend = "Link strength σ(A), row expert to column block, 0 to 1";
      break;
    case MatrixKind::kConflict:
      heatmap.legend = "Mean conflict C = ReLU(-cosine) over the epoch's steps";
      break;
    case MatrixKind::kOverlap:
      heatmap.legend = "Share of the rank quota that two experts have in common, 0 to 1";
      break;
  }
  heatmap.description =
      "Largest off the diagonal: " + strongest_in_words(values, look.decimals) + ".";
  heatmap.largest = look.scale;
  heatmap.decimals = look.decimals;
  heatmap.panels = {{"", values}};
  return matrix_heatmap_svg(heatmap);
}

std::string arm_title(const std::string& arm) {
  if (arm == "cdsp") return "CDSP";
  if (arm == "baseline") return "Baseline";
  if (arm == "blind") return "Blind baseline";
  return arm;
}

}  // namespace cdsp::page
