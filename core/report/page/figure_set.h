// The figures of a report: each stands in the page and is a file of its own.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/page/template.h"
#include "report/report_data.h"

namespace cdsp::page {

class FigureSet {
 public:
  /// `routing_scale`: the upper end of the colour scale of every routing table in the report.
  explicit FigureSet(double routing_scale) : routing_scale_(routing_scale) {}

  /// Keeps the picture as NAME.svg and returns it for the page. What is no letter, digit, dot, plus
  /// or minus in the name becomes an underscore; a name used before gets a number.
  Html add(const std::string& name, const std::string& svg, const std::string& caption = "");
  double routing_scale() const { return routing_scale_; }
  /// File names with their content.
  const std::vector<std::pair<std::string, std::string>>& files() const { return files_; }

 private:
  double routing_scale_;
  std::vector<std::pair<std::string, std::string>> files_;
};

/// The scale on which all routing tables of the data can be compared.
double routing_scale_of(const ReportData& data);

/// A layer's routing table.
std::string routing_svg(const std::string& title, const std::string& subtitle,
                        const RoutingRows& shares, const std::vector<std::string>& tasks,
                        double scale);

/// What a matrix of experts by experts holds.
enum class MatrixKind { kTopology, kConflict, kOverlap };
struct MatrixLook {
  double scale = 1;  // upper end of the colours
  int decimals = 2;
};
/// Strengths and overlaps run to 1; conflicts to the largest of `largest`.
MatrixLook matrix_look(MatrixKind kind, double largest);
std::string matrix_svg(MatrixKind kind, const std::string& title, const std::string& subtitle,
                       const RoutingRows& values, const MatrixLook& look);

/// "baseline" -> "Baseline", "cdsp" -> "CDSP", "blind" -> "Blind baseline"; others as they are.
std::string arm_title(const std::string& arm);

}  // namespace cdsp::page
