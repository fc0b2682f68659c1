// The paper's three statements, checked by simulation in the paper's symbols (spec section 14), and
// beside a finished run where its files can tell:
//
//   Lemma 1     random gradients conflict half of the time, less and less deeply (Eq. 23, 24)
//   Theorem 1   persistent conflict prunes a link (Eq. 25 to 35)
//   Theorem 2   the structural entropy falls and stays above zero (Eq. 36 to 44)
//
// Everything is computed; a finding may come out false. Settings stand in the sections' text, the
// bounds that findings are held to in their statements and in docs/theory.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace cdsp {

struct TheoryOptions {
  uint64_t seed = 0;
  int64_t paths = 2000;  // simulated links, and pairs of gradients; 100 to a million
  std::optional<std::filesystem::path> run;  // a finished run of variant cdsp
};

struct TheoryFinding {
  std::string statement;
  std::optional<bool> holds;  // empty: the files cannot tell
  std::string evidence;       // with the figures
};

struct TheorySeries {
  std::string label;
  std::vector<double> x, y;
  std::vector<double> low, high;  // 95 % interval of y; empty if there is none
  std::string style = "line";     // line, dashed or points
};

struct TheoryAxis {
  std::string label;
  bool log = false;
};

struct TheoryChart {
  std::string id, title;
  TheoryAxis x, y;
  std::vector<TheorySeries> series;
};

struct TheoryTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

struct TheorySection {
  std::string id, title, text;
  std::vector<TheoryFinding> findings;
  std::vector<TheoryChart> charts;
  std::vector<TheoryTable> tables;
};

/// The three sections. Throws InputError if the run is not a finished one of variant cdsp, or
/// options.paths is out of bounds.
std::vector<TheorySection> verify_theory(const TheoryOptions& options);

nlohmann::ordered_json theory_json(const std::vector<TheorySection>& sections,
                                   const TheoryOptions& options);

/// A row per point: series, x, y, low, high.
std::string chart_csv(const TheoryChart& chart);

/// Throws InputError if the folder holds files and no theory.json of an earlier call.
void check_theory_folder(const std::filesystem::path& out);

/// Writes OUT/theory.json and OUT/CHART.csv, removes the charts of an earlier call that are not
/// among these, and returns the paths. Throws as check_theory_folder() does.
std::vector<std::filesystem::path> write_theory(const std::filesystem::path& out,
                                                const std::vector<TheorySection>& sections,
                                                const TheoryOptions& options);

/// Three significant digits, from 1000 on all before the point; a fraction as per cent with one
/// decimal, "94.5 %".
std::string figure(double value);
std::string share_figure(double fraction);

}  // namespace cdsp
