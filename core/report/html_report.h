// report.html: one self-contained page from a run, a comparison, an ablation or the theory's
// checks, and each of its figures as a file.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/report_data.h"
#include "report/terminal.h"

namespace cdsp {

struct HtmlReport {
  std::string html;
  std::vector<std::pair<std::string, std::string>> figures;  // NAME.svg and its content
};

/// The whole page; it names no other file and asks no network for anything.
HtmlReport html_report(const page::ReportData& data);

/// The same in small for a terminal: the method's routing (or the first arm's) as shaded tables,
/// and the claims; empty if there is neither.
std::string report_text(const page::ReportData& data, const Terminal& terminal);

/// The claims as a table: verdict, estimate, interval and what is needed, a line for each part.
std::string claims_text(const page::ClaimsData& claims);

}  // namespace cdsp
