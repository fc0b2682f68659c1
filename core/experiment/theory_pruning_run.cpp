// Theorem 1's premises on the links of a finished run.
#include <cstddef>

#include "experiment/theory_pruning.h"

namespace cdsp {
namespace {

/// Off-diagonal links of all layers at one epoch's end.
struct EpochLinks {
  double epoch = 0, links = 0;
  double under_conflict = 0;  // mean C of the epoch > 0
  double dominated = 0;       // lambda C above the regulariser's force l1 / N^2
  double fell = 0, rose = 0;  // of those under conflict, since the epoch before
  double compared = 0;        // links under conflict with an epoch before
  double below_tenth = 0, below_hundredth = 0;
  double came_back = 0;  // above 0.1 now, below 0.1 at some earlier epoch's end
};

std::vector<EpochLinks> follow_links(const TheoryRun& run) {
  const auto experts = static_cast<double>(run.experts());
  const double force = run.config.conflict.l1 / (experts * experts);
  std::vector<EpochLinks> epochs;
  for (size_t e = 0; e < run.epochs.size(); ++e) {
    const TheoryEpoch& now = run.epochs[e];
    EpochLinks seen;
    seen.epoch = static_cast<double>(now.epoch);
    for (size_t layer = 0; layer < now.links.size(); ++layer) {
      for (size_t i = 0; i < now.links[layer].size(); ++i) {
        for (size_t j = 0; j < now.links[layer][i].size(); ++j) {
          if (i == j) continue;
          const double p = now.links[layer][i][j], conflict = now.conflict[layer][i][j];
          seen.links += 1.0;
          if (conflict > 0.0) seen.under_conflict += 1.0;
          if (run.config.conflict.lambda * conflict > force) seen.dominated += 1.0;
          if (p < 0.1) seen.below_tenth += 1.0;
          if (p < 0.01) seen.below_hundredth += 1.0;
          bool was_below = false;
          for (size_t earlier = 0; earlier < e; ++earlier)
            was_below = was_below || run.epochs[earlier].links[layer][i][j] < 0.1;
          if (was_below && p >= 0.1) seen.came_back += 1.0;
          if (e == 0 || conflict <= 0.0) continue;
          const double before = run.epochs[e - 1].links[layer][i][j];
          seen.compared += 1.0;
          if (p < before) seen.fell += 1.0;
          if (p > before) seen.rose += 1.0;
        }
      }
    }
    epochs.push_back(seen);
  }
  return epochs;
}

double share(double part, double whole) { return whole > 0.0 ? part / whole : 0.0; }

}  // namespace

void add_pruning_of_run(TheorySection& section, const TheoryRun& run) {
  const std::vector<EpochLinks> epochs = follow_links(run);
  EpochLinks all;
  TheorySeries below_tenth, below_hundredth, conflict;
  below_tenth.label = "p < 0.1";
  below_hundredth.label = "p < 0.01";
  conflict.label = "C > 0 in the epoch";
  conflict.style = "dashed";
  TheoryTable table{"Premises of Theorem 1 on the run's off-diagonal links",
                    {"epoch", "C > 0", "λC above l1/N²", "of those with C > 0: fell", "rose",
                     "p<0.1", "p<0.01", "came back above 0.1"},
                    {}};
  for (const EpochLinks& each : epochs) {
    for (auto* series : {&below_tenth, &below_hundredth, &conflict})
      series->x.push_back(each.epoch);
    below_tenth.y.push_back(share(each.below_tenth, each.links));
    below_hundredth.y.push_back(share(each.below_hundredth, each.links));
    conflict.y.push_back(share(each.under_conflict, each.links));
    const bool first = each.compared == 0.0;
    table.rows.push_back({figure(each.epoch), share_figure(conflict.y.back()),
                          share_figure(share(each.dominated, each.links)),
                          first ? "-" : share_figure(share(each.fell, each.compared)),
                          first ? "-" : share_figure(share(each.rose, each.compared)),
                          share_figure(below_tenth.y.back()),
                          share_figure(below_hundredth.y.back()), figure(each.came_back)});
    all.links += each.links;
    all.under_conflict += each.under_conflict;
    all.dominated += each.dominated;
    all.fell += each.fell;
    all.rose += each.rose;
    all.compared += each.compared;
    all.came_back += each.came_back;
  }
  const EpochLinks& last = epochs.back();
  section.findings.push_back(
      {"run: conflict persists on every link (C > 0 in every epoch)",
       all.under_conflict == all.links,
       share_figure(share(all.under_conflict, all.links)) +
           " of the links and epochs have a mean C above 0, in the last epoch " +
           share_figure(share(last.under_conflict, last.links))});
  section.findings.push_back(
      {"run: conflict outweighs the regulariser on every link (λC > l1/N²)",
       all.dominated == all.links,
       "true of " + share_figure(share(all.dominated, all.links)) +
           " of the links and epochs; the task's own gradient on A is not in the files"});
  TheoryFinding falling{"run: a link under conflict falls from epoch to epoch", std::nullopt,
                        "the run has one epoch"};
  if (all.compared > 0.0) {
    falling.holds = all.rose == 0.0;
    falling.evidence = share_figure(share(all.fell, all.compared)) + " of " + figure(all.compared) +
                       " fell, " + share_figure(share(all.rose, all.compared)) + " rose" +
                       (all.rose > 0.0 ? ": there the task's gain outweighed the conflict" : "");
  }
  section.findings.push_back(std::move(falling));
  section.findings.push_back(
      {"run: a link pruned at an epoch's end (p < 0.1) stays pruned", all.came_back == 0.0,
       figure(all.came_back) + " times a link stood above 0.1 again; in the end " +
           share_figure(share(last.below_tenth, last.links)) + " of the links are below 0.1, " +
           share_figure(share(last.below_hundredth, last.links)) + " below 0.01"});
  section.charts.push_back(
      {"theorem1_run",
       "The run's off-diagonal links",
       {"epoch", false},
       {"share of links", false},
       {std::move(below_tenth), std::move(below_hundredth), std::move(conflict)}});
  section.tables.push_back(std::move(table));
}

}  // namespace cdsp
