#include "experiment/theory_entropy.h"

#include <algorithm>
#include <cmath>

namespace cdsp {
namespace {

constexpr double kMostBits = kSimulatedLinks;
constexpr int64_t kSteps = 3000;
constexpr double kCentring = 0.05;  // gamma of A^2 / 2: A rests at -lambda delta / gamma = -4
constexpr double kClose = 0.01;     // of N^2: "equal" for two entropies
constexpr double kStandardErrors = 3.0;
const std::vector<double> kTemperatures = {0.001, 0.01, 0.1, 0.5};

LinkDynamics confined(ConflictPenalty penalty, double temperature) {
  LinkDynamics dynamics;
  dynamics.penalty = penalty;
  dynamics.regularisation = kCentring;
  dynamics.regulariser = Regulariser::kSquare;
  dynamics.noise = std::sqrt(2.0 * temperature / dynamics.step_size);
  return dynamics;
}

/// As the paper's config has it: l1 mean|A|, a force of l1 / N^2 on a link.
LinkDynamics paper_config() {
  LinkDynamics dynamics;
  dynamics.regularisation = 1e-3 / kMostBits;
  return dynamics;
}

struct Simulated {
  ConflictPenalty penalty;
  LinkOptimizer optimizer;
  double temperature;
  EntropyPaths paths;
  double gibbs;  // bits, of the whole network
};

const char* name_of(ConflictPenalty penalty) {
  return penalty == ConflictPenalty::kLogit ? "logit" : "sigmoid";
}

std::string place_of(const Simulated& each) {
  return "T = " + figure(each.temperature) + " (" + name_of(each.penalty) + ")";
}

std::vector<Simulated> simulate_all(PathPlan& plan) {
  std::vector<Simulated> all;
  for (const ConflictPenalty penalty : {ConflictPenalty::kLogit, ConflictPenalty::kSigmoid}) {
    for (const LinkOptimizer optimizer : {LinkOptimizer::kSgd, LinkOptimizer::kAdamW}) {
      for (const double temperature : kTemperatures) {
        LinkDynamics dynamics = confined(penalty, temperature);
        plan.stream += 2;
        Simulated each{penalty, optimizer, temperature, simulate_entropy(dynamics, optimizer, plan),
                       0.0};
        each.gibbs = gibbs_entropy(dynamics, temperature);
        dynamics.conflict = -dynamics.conflict;
        each.gibbs = 0.5 * kMostBits * (each.gibbs + gibbs_entropy(dynamics, temperature));
        all.push_back(std::move(each));
      }
    }
  }
  return all;
}

TheoryFinding starts_at_most(const std::vector<Simulated>& all) {
  const double first = all.front().paths.mean.front();
  return {"H starts at its maximum, N² = 64 bits", first >= 0.999 * kMostBits,
          figure(kMostBits * link_entropy(0.0)) + " bits at A = 0; " +
              figure(first / kMostBits * 100.0) + " % of it at A ~ N(0, 0.01²)"};
}

TheoryFinding mean_falls(const std::vector<Simulated>& all) {
  TheoryFinding finding{
      "the mean of H over networks falls monotonically (SGD; no tenth of the "
      "time lies above the one before by more than its interval leaves open)",
      true, ""};
  for (const Simulated& each : all) {
    if (each.optimizer != LinkOptimizer::kSgd) continue;
    const EntropyPaths& paths = each.paths;
    bool falls = paths.mean.back() < paths.mean.front();
    for (const Interval& interval : paths.change_intervals) falls = falls && interval.low <= 0.0;
    finding.holds = *finding.holds && falls;
    const double largest = *std::max_element(paths.changes.begin(), paths.changes.end());
    finding.evidence += (finding.evidence.empty() ? "largest change from tenth to tenth " : ", ") +
                        figure(largest) + " bits at " + place_of(each);
  }
  return finding;
}

TheoryFinding network_falls(const std::vector<Simulated>& all) {
  double falling = 0.0, networks = 0.0, rises = 0.0, intervals = 0.0;
  for (const Simulated& each : all) {
    if (each.optimizer != LinkOptimizer::kSgd) continue;
    for (const auto& network : each.paths.networks) {
      double own = 0.0;
      for (size_t i = 1; i < network.size(); ++i) own += network[i] > network[i - 1] ? 1.0 : 0.0;
      networks += 1.0;
      intervals += static_cast<double>(network.size() - 1);
      rises += own;
      if (own == 0.0) falling += 1.0;
    }
  }
  return {"H of a single network falls from record to record (SGD, every 10 steps)",
          falling == networks,
          figure(falling) + " of " + figure(networks) + " networks never rise; H rises in " +
              share_figure(rises / intervals) + " of the intervals"};
}

TheoryFinding stays_above_zero(const std::vector<Simulated>& all) {
  TheoryFinding finding{"H stays above zero where a centring term confines the logits (SGD)", true,
                        ""};
  for (const Simulated& each : all) {
    if (each.optimizer != LinkOptimizer::kSgd) continue;
    const double least = *std::min_element(each.paths.mean.begin(), each.paths.mean.end());
    finding.holds = *finding.holds && least > 0.0 && each.gibbs > 0.0;
    finding.evidence += (finding.evidence.empty() ? "lowest mean " : ", ") + figure(least) +
                        " bits at " + place_of(each);
  }
  return finding;
}

TheoryFinding follows_gibbs(const std::vector<Simulated>& all, LinkOptimizer optimizer) {
  TheoryFinding finding{std::string("H ends where the density exp(-E/T), T = ηs²/2, puts it (") +
                            to_string(optimizer) + "; to 3 standard errors or 0.64 bits)",
                        true, ""};
  for (const Simulated& each : all) {
    if (each.optimizer != optimizer) continue;
    const double gap = std::abs(each.paths.late_mean - each.gibbs);
    finding.holds = *finding.holds &&
                    gap <= std::max(kClose * kMostBits, kStandardErrors * each.paths.late_error);
    finding.evidence += (finding.evidence.empty() ? "" : ", ") + figure(each.paths.late_mean) +
                        " bits, law " + figure(each.gibbs) + ", at " + place_of(each);
  }
  return finding;
}

TheoryFinding rises_with_temperature() {
  std::vector<double> bits;
  std::vector<double> temperatures;
  for (int i = 0; i <= 40; ++i) {
    temperatures.push_back(std::pow(10.0, -3.0 + 0.1 * i));
    bits.push_back(kMostBits * gibbs_entropy(confined(ConflictPenalty::kLogit, temperatures.back()),
                                             temperatures.back()));
  }
  const auto top = std::max_element(bits.begin(), bits.end());
  const bool rises = top + 1 == bits.end() && std::is_sorted(bits.begin(), bits.end());
  return {"the stationary H rises with temperature from T = 0.001 to 10 (logit)", rises,
          figure(bits.front()) + " bits at T = 0.001, highest " + figure(*top) +
              " at T = " + figure(temperatures[static_cast<size_t>(top - bits.begin())]) + ", " +
              figure(bits.back()) +
              " at T = 10: strong noise drives the logits far to both sides, where links are "
              "certain again"};
}

TheoryFinding unconfined(const EntropyPaths& paths) {
  const size_t tenth = paths.mean.size() / 10;
  const double before = paths.mean[paths.mean.size() - 1 - tenth], last = paths.mean.back();
  return {
      "H stays above 0.64 bits (1 % of N²) with the paper's regulariser, l1 = 0.001 (logit, "
      "SGD)",
      last > kClose * kMostBits,
      figure(last) + " bits after " + std::to_string(kSteps) + " steps and " + figure(before) +
          " a tenth of the way before: the force l1/N² = " + figure(paper_config().regularisation) +
          " is far below the pressure λδ = " + figure(paper_config().pressure()) +
          ", so nothing confines the logits and no stationary density exists"};
}

TheoryChart time_chart(const std::vector<Simulated>& all, ConflictPenalty penalty) {
  TheoryChart chart{
      std::string("theorem2_time_") + name_of(penalty),
      std::string("Structural entropy against time and temperature, penalty ") + name_of(penalty),
      {"step", false},
      {"H, bits", false},
      {}};
  for (const Simulated& each : all) {
    if (each.penalty != penalty) continue;
    TheorySeries series;
    series.label = std::string(to_string(each.optimizer)) + ", T = " + figure(each.temperature);
    series.style = each.optimizer == LinkOptimizer::kSgd ? "line" : "dashed";
    series.x = each.paths.steps;
    series.y = each.paths.mean;
    for (size_t i = 0; i < series.y.size(); ++i) {
      series.low.push_back(series.y[i] - 1.96 * each.paths.standard_error[i]);
      series.high.push_back(series.y[i] + 1.96 * each.paths.standard_error[i]);
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

TheoryChart temperature_chart(const std::vector<Simulated>& all) {
  TheoryChart chart{"theorem2_temperature",
                    "Stationary entropy against temperature",
                    {"T = ηs²/2", true},
                    {"H, bits", false},
                    {}};
  for (const ConflictPenalty penalty : {ConflictPenalty::kLogit, ConflictPenalty::kSigmoid}) {
    TheorySeries law;
    law.label = std::string("law, ") + name_of(penalty);
    for (int i = 0; i <= 40; ++i) {
      const double temperature = std::pow(10.0, -3.0 + 0.1 * i);
      LinkDynamics dynamics = confined(penalty, temperature);
      double bits = gibbs_entropy(dynamics, temperature);
      dynamics.conflict = -dynamics.conflict;
      bits += gibbs_entropy(dynamics, temperature);
      law.x.push_back(temperature);
      law.y.push_back(0.5 * kMostBits * bits);
    }
    chart.series.push_back(std::move(law));
    for (const LinkOptimizer optimizer : {LinkOptimizer::kSgd, LinkOptimizer::kAdamW}) {
      TheorySeries points;
      points.label = std::string(to_string(optimizer)) + ", " + name_of(penalty);
      points.style = "points";
      for (const Simulated& each : all) {
        if (each.penalty != penalty || each.optimizer != optimizer) continue;
        points.x.push_back(each.temperature);
        points.y.push_back(each.paths.late_mean);
        points.low.push_back(each.paths.late_mean - 1.96 * each.paths.late_error);
        points.high.push_back(each.paths.late_mean + 1.96 * each.paths.late_error);
      }
      chart.series.push_back(std::move(points));
    }
  }
  return chart;
}

/// What can be said of a real trajectory: where H falls, where it rises.
void add_run(TheorySection& section, const TheoryRun& run, const EntropyPaths& unconfined_paths) {
  const double most = run.most_entropy();
  TheorySeries falls, rises, simulated;
  falls.label = "run";
  rises.label = "run, logged steps where H rose: not as the theorem says";
  rises.style = "points";
  simulated.label = "simulated, paper's regulariser, SGD";
  simulated.style = "dashed";
  double largest = 0.0, at = 0.0;
  for (size_t i = 0; i < run.steps.size(); ++i) {
    falls.x.push_back(run.steps[i]);
    falls.y.push_back(run.entropy[i] / most);
    if (i == 0 || run.entropy[i] <= run.entropy[i - 1]) continue;
    rises.x.push_back(run.steps[i]);
    rises.y.push_back(run.entropy[i] / most);
    if (run.entropy[i] - run.entropy[i - 1] > largest) {
      largest = run.entropy[i] - run.entropy[i - 1];
      at = run.steps[i];
    }
  }
  for (size_t i = 0; i < unconfined_paths.steps.size(); ++i) {
    if (unconfined_paths.steps[i] > run.steps.back()) break;
    simulated.x.push_back(unconfined_paths.steps[i]);
    simulated.y.push_back(unconfined_paths.mean[i] / kMostBits);
  }
  const size_t intervals = run.steps.size() - 1, rose = rises.x.size();
  section.findings.push_back({"run: H is above 90 % of its maximum at the first logged step",
                              run.entropy.front() > 0.9 * most,
                              figure(run.entropy.front()) + " of " + figure(most) +
                                  " bits at step " + figure(run.steps.front())});
  TheoryFinding falling{"run: H falls from logged step to logged step", std::nullopt,
                        "one step is logged"};
  if (intervals > 0) {
    falling.holds = rose == 0;
    falling.evidence = "rises in " + std::to_string(rose) + " of " + std::to_string(intervals) +
                       " intervals" +
                       (rose == 0 ? std::string()
                                  : ", first at step " + figure(rises.x.front()) + ", most by " +
                                        figure(largest) + " bits at step " + figure(at));
  }
  section.findings.push_back(std::move(falling));
  const auto least = std::min_element(run.entropy.begin(), run.entropy.end());
  section.findings.push_back(
      {"run: H stays above zero", *least > 0.0,
       "lowest " + figure(*least) + " bits at step " +
           figure(run.steps[static_cast<size_t>(least - run.entropy.begin())]) + ", " +
           figure(run.entropy.back()) + " at the last logged step"});
  section.charts.push_back({"theorem2_run",
                            "Structural entropy of the run, share of its maximum",
                            {"step", false},
                            {"H / L N²", false},
                            {std::move(falls), std::move(rises), std::move(simulated)}});
}

}  // namespace

TheorySection verify_entropy(const TheoryOptions& options, const TheoryRun* run) {
  PathPlan plan;
  plan.paths = options.paths;
  plan.seed = options.seed;
  plan.steps = kSteps;
  plan.stream = 1000;  // Theorem 1 has the streams below
  const std::vector<Simulated> all = simulate_all(plan);
  plan.stream += 2;
  const EntropyPaths free = simulate_entropy(paper_config(), LinkOptimizer::kSgd, plan);
  TheorySection section;
  section.id = "theorem2";
  section.title = "Theorem 2: the structural entropy falls and stays above zero";
  section.text =
      "Networks of N² = 64 links, N = 8, half under conflict (λδ = " +
      figure(paper_config().pressure()) +
      "), half under synergy of the same size, from A ~ N(0, "
      "0.01²); η = " +
      figure(paper_config().step_size) + ", centring γA²/2 with γ = " + figure(kCentring) + ", " +
      std::to_string(all.front().paths.networks.size()) + " networks of " + std::to_string(kSteps) +
      " steps for each temperature T = ηs²/2. The law is the density exp(-E/T) of plain SGD; AdamW "
      "runs beside it.";
  section.findings = {starts_at_most(all),
                      mean_falls(all),
                      network_falls(all),
                      stays_above_zero(all),
                      follows_gibbs(all, LinkOptimizer::kSgd),
                      follows_gibbs(all, LinkOptimizer::kAdamW),
                      rises_with_temperature(),
                      unconfined(free)};
  section.charts = {time_chart(all, ConflictPenalty::kLogit),
                    time_chart(all, ConflictPenalty::kSigmoid), temperature_chart(all)};
  TheoryTable table{"Entropy at the end, bits of 64",
                    {"penalty", "optimiser", "T", "simulated", "standard error", "law exp(-E/T)",
                     "largest change from tenth to tenth"},
                    {}};
  for (const Simulated& each : all) {
    table.rows.push_back(
        {name_of(each.penalty), to_string(each.optimizer), figure(each.temperature),
         figure(each.paths.late_mean), figure(each.paths.late_error), figure(each.gibbs),
         figure(*std::max_element(each.paths.changes.begin(), each.paths.changes.end()))});
  }
  section.tables = {std::move(table)};
  if (run != nullptr) add_run(section, *run, free);
  return section;
}

}  // namespace cdsp
