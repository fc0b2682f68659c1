// The paper's three experiments, a section each.
#pragma once

#include "report/page/figure_set.h"

namespace cdsp::page {

/// Which arms of a comparison play which part; empty if none does.
struct Roles {
  std::string method, baseline, blind, without_conflict;
};
Roles roles_of(const ReportData& data);

/// I, emergent modularity: how CDSP's routing comes to separate the tasks.
Html emergent_modularity(const ReportData& data, const Roles& roles, FigureSet& figures);
/// II, instruction overfitting: the baseline with the task told and withheld.
Html instruction_overfitting(const ReportData& data, const Roles& roles, FigureSet& figures);
/// III, necessity of conflict: CDSP without the task against networks without conflict.
Html necessity_of_conflict(const ReportData& data, const Roles& roles, FigureSet& figures);

/// Routing and topology of runs that are no comparison.
Html routing_section(const ReportData& data, FigureSet& figures);

}  // namespace cdsp::page
