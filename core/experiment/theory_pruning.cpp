#include "experiment/theory_pruning.h"

#include <cmath>
#include <stdexcept>

namespace cdsp {
namespace {

constexpr double kNotPruned = 0.01;  // share below 0.1 that counts as "no path"

/// A simulated setting: what it differs in from the base, and what came of it.
struct Setting {
  std::string changed;
  LinkDynamics dynamics;
  LinkOptimizer optimizer = LinkOptimizer::kSgd;
  bool in_pairs = false;
  PruningShares shares;
};

/// Simulates settings and keeps them; every one has random numbers of its own.
class Bench {
 public:
  explicit Bench(const TheoryOptions& options) {
    plan_.paths = options.paths;
    plan_.seed = options.seed;
    plan_.steps = 2000;
  }

  const PathPlan& plan() const { return plan_; }
  const std::vector<Setting>& settings() const { return settings_; }

  const PruningShares& run(const std::string& changed, const LinkDynamics& dynamics,
                           LinkOptimizer optimizer, bool in_pairs = false) {
    ++plan_.stream;
    settings_.push_back({changed, dynamics, optimizer, in_pairs,
                         in_pairs ? pair_pruning_shares(dynamics, optimizer, plan_)
                                  : pruning_shares(dynamics, optimizer, plan_)});
    return settings_.back().shares;
  }

  const Setting& setting(const std::string& changed, ConflictPenalty penalty,
                         LinkOptimizer optimizer) const {
    for (const Setting& setting : settings_) {
      if (setting.changed == changed && setting.dynamics.penalty == penalty &&
          setting.optimizer == optimizer)
        return setting;
    }
    throw std::logic_error("no setting '" + changed + "' was simulated");
  }

  const PruningShares& shares(const std::string& changed, ConflictPenalty penalty,
                              LinkOptimizer optimizer) const {
    return setting(changed, penalty, optimizer).shares;
  }

 private:
  PathPlan plan_;
  std::vector<Setting> settings_;
};

constexpr ConflictPenalty kPenalties[] = {ConflictPenalty::kLogit, ConflictPenalty::kSigmoid};
constexpr LinkOptimizer kOptimizers[] = {LinkOptimizer::kSgd, LinkOptimizer::kAdamW};

const char* name_of(ConflictPenalty penalty) {
  return penalty == ConflictPenalty::kLogit ? "logit" : "sigmoid";
}

std::string label_of(ConflictPenalty penalty, LinkOptimizer optimizer) {
  return std::string(name_of(penalty)) + ", " + to_string(optimizer);
}

LinkDynamics base_of(ConflictPenalty penalty) {
  LinkDynamics dynamics;
  dynamics.penalty = penalty;
  return dynamics;
}

struct Sweep {
  const char* id;
  const char* symbol;
  double LinkDynamics::*field;
  std::vector<double> values;  // with the base's own
};

const std::vector<Sweep>& sweeps() {
  static const std::vector<Sweep> all = {
      {"eta", "η", &LinkDynamics::step_size, {0.01, 0.05, 0.2}},
      {"delta", "δ", &LinkDynamics::conflict, {0.0, 0.002, 0.02, 0.1}},
      {"s", "s", &LinkDynamics::noise, {0.0, 0.2, 1.0, 5.0}}};
  return all;
}

std::string change_of(const Sweep& sweep, double value) {
  if (base_of(ConflictPenalty::kLogit).*sweep.field == value) return "base";
  return std::string(sweep.symbol) + " = " + figure(value);
}

void run_sweeps(Bench& bench) {
  for (const ConflictPenalty penalty : kPenalties) {
    for (const LinkOptimizer optimizer : kOptimizers) {
      bench.run("base", base_of(penalty), optimizer);
      for (const Sweep& sweep : sweeps()) {
        for (const double value : sweep.values) {
          LinkDynamics dynamics = base_of(penalty);
          dynamics.*sweep.field = value;
          if (change_of(sweep, value) != "base")
            bench.run(change_of(sweep, value), dynamics, optimizer);
        }
      }
    }
  }
}

const char* const kGain = "task gain τ above the conflict";
const char* const kStrongCentring = "|A|, γ = 1.5 λδ";
const char* const kWeakCentring = "|A|, γ = 0.05 λδ";
const char* const kSquareCentring = "A²/2, γ = 0.5 λδ";
const char* const kCompetitor = "competitor's p instead of constant conflict";

/// What breaks the premise that conflict persists and dominates.
void run_breakers(Bench& bench) {
  for (const LinkOptimizer optimizer : kOptimizers) {
    for (const ConflictPenalty penalty : kPenalties) {
      const bool logit = penalty == ConflictPenalty::kLogit;
      const LinkDynamics base = base_of(penalty);
      LinkDynamics changed = base;
      // The conflict term is at most lambda delta, for `sigmoid` a quarter of it.
      changed.task_gain = (logit ? 1.5 : 0.375) * base.pressure();
      bench.run(kGain, changed, optimizer);
      changed = base;
      changed.regularisation = 1.5 * base.pressure();
      bench.run(kStrongCentring, changed, optimizer);
      changed.regularisation = 0.05 * base.pressure();
      bench.run(kWeakCentring, changed, optimizer);
      changed.regularisation = 0.5 * base.pressure();
      changed.regulariser = Regulariser::kSquare;
      bench.run(kSquareCentring, changed, optimizer);
    }
    bench.run(kCompetitor, base_of(ConflictPenalty::kSigmoid), optimizer, /*in_pairs=*/true);
  }
}

std::string end_figures(const PruningShares& shares) {
  return share_figure(shares.below_tenth.back()) + " of the paths below 0.1 and " +
         share_figure(shares.below_hundredth.back()) + " below 0.01";
}

std::string flow_figures(const NoiselessFlow& flow) {
  if (!flow.crossing) return "without noise p rests at " + figure(flow.p_at_end);
  return "without noise p is below 0.01 from step " + std::to_string(*flow.crossing) + " on";
}

/// Holds a setting to "99 % of the paths are below p = 0.01", as long as its noiseless flow needs.
TheoryFinding pruned_in_the_end(const Bench& bench, const std::string& changed,
                                ConflictPenalty penalty, LinkOptimizer optimizer,
                                const std::string& statement) {
  const Setting& setting = bench.setting(changed, penalty, optimizer);
  const NoiselessFlow flow = noiseless_flow(setting.dynamics, optimizer, setting.in_pairs);
  PathPlan plan = bench.plan();
  plan.steps = pruning_horizon(flow);
  PruningShares longer;
  const bool enough = plan.steps <= bench.plan().steps;
  if (!enough) {
    plan.every = plan.steps / 200;
    plan.stream = bench.plan().stream + 1;
    longer = (setting.in_pairs ? pair_pruning_shares : pruning_shares)(setting.dynamics, optimizer,
                                                                       plan);
  }
  const PruningShares& shares = enough ? setting.shares : longer;
  TheoryFinding finding;
  finding.statement = statement + " (" + label_of(penalty, optimizer) + ")";
  finding.holds = nearly_all_pruned(shares, flow);
  finding.evidence = "at step " + std::to_string(plan.steps) + " " + end_figures(shares) +
                     ", mean p " + figure(shares.mean_p) +
                     (finding.holds   ? ""
                      : shares.rising ? ", still rising"
                                      : "") +
                     "; " + flow_figures(flow);
  return finding;
}

TheoryFinding every_path_pruned(const Bench& bench, ConflictPenalty penalty,
                                LinkOptimizer optimizer) {
  return pruned_in_the_end(bench, "base", penalty, optimizer,
                           "under persistent conflict 99 % of the paths come to be below p = 0.01");
}

TheoryFinding super_martingale(ConflictPenalty penalty, double noise) {
  LinkDynamics dynamics = base_of(penalty);
  dynamics.noise = noise;
  const double edge = raised_below(dynamics);
  TheoryFinding finding;
  finding.statement = "p is a super-martingale: no step of plain SGD raises E[p] (" +
                      std::string(name_of(penalty)) + ", s = " + figure(noise) + ")";
  finding.holds = edge == 0.0;
  finding.evidence =
      "λδ = " + figure(dynamics.pressure()) + ", T = ηs²/2 = " + figure(dynamics.temperature()) +
      (edge == 0.0
           ? "; at every p from 0.0001 to 0.9999 E[p] falls"
           : "; below p = " + figure(edge) + " the noise raises E[p] more than conflict lowers it");
  return finding;
}

TheoryFinding nothing_without_conflict(const Bench& bench, LinkOptimizer optimizer) {
  const PruningShares& shares = bench.shares("δ = 0", ConflictPenalty::kLogit, optimizer);
  return {"without conflict (δ = 0, no regularisation) at most 1 % of the paths are below 0.1 (" +
              std::string(to_string(optimizer)) + ")",
          shares.below_tenth.back() <= kNotPruned,
          end_figures(shares) + ", " + share_figure(shares.above_nine_tenths) +
              " above 0.9: what noise alone does"};
}

TheoryFinding sigmoid_is_slower(const Bench& bench, LinkOptimizer optimizer) {
  const auto logit = bench.shares("base", ConflictPenalty::kLogit, optimizer).half_time;
  const auto sigmoid = bench.shares("base", ConflictPenalty::kSigmoid, optimizer).half_time;
  TheoryFinding finding;
  finding.statement = "the sigmoid penalty prunes slower than the logit penalty (" +
                      std::string(to_string(optimizer)) + ")";
  if (logit) finding.holds = !sigmoid || *sigmoid > *logit;
  finding.evidence = "half of the paths below 0.1 by step " +
                     (logit ? figure(*logit) : std::string("(never)")) + " with logit, " +
                     (sigmoid ? figure(*sigmoid) : std::string("(never)")) + " with sigmoid";
  return finding;
}

TheoryFinding pruned_stay_pruned(const Bench& bench, ConflictPenalty penalty,
                                 LinkOptimizer optimizer, const std::string& changed) {
  const PruningShares& shares = bench.shares(changed, penalty, optimizer);
  const double ever = shares.below_hundredth.back();
  return {"a link once below 0.01 is never again above 0.1 (" + label_of(penalty, optimizer) +
              ", " + changed + ")",
          shares.returned == 0.0,
          share_figure(shares.returned) +
              " of the paths that were below 0.01 came back above "
              "0.1; at the end " +
              share_figure(ever) + " are below 0.01"};
}

std::vector<TheoryFinding> findings_of(const Bench& bench) {
  constexpr auto kLogit = ConflictPenalty::kLogit, kSigmoid = ConflictPenalty::kSigmoid;
  constexpr auto kSgd = LinkOptimizer::kSgd, kAdamW = LinkOptimizer::kAdamW;
  std::vector<TheoryFinding> findings;
  for (const LinkOptimizer optimizer : kOptimizers) {
    for (const ConflictPenalty penalty : kPenalties)
      findings.push_back(every_path_pruned(bench, penalty, optimizer));
  }
  findings.push_back(super_martingale(kLogit, 0.2));
  findings.push_back(super_martingale(kLogit, 5.0));
  findings.push_back(super_martingale(kSigmoid, 0.2));
  findings.push_back(pruned_stay_pruned(bench, kLogit, kSgd, "s = 1"));
  findings.push_back(pruned_stay_pruned(bench, kSigmoid, kSgd, "s = 1"));
  findings.push_back(pruned_stay_pruned(bench, kSigmoid, kAdamW, "base"));
  for (const LinkOptimizer optimizer : kOptimizers) {
    findings.push_back(nothing_without_conflict(bench, optimizer));
    findings.push_back(sigmoid_is_slower(bench, optimizer));
  }
  const std::string broken =
      "99 % of the paths are below 0.01 in the end even where the premise is broken: ";
  findings.push_back(pruned_in_the_end(bench, kGain, kLogit, kSgd, broken + kGain));
  findings.push_back(
      pruned_in_the_end(bench, kStrongCentring, kLogit, kSgd,
                        broken + "centring stronger than conflict, " + kStrongCentring));
  findings.push_back(pruned_in_the_end(bench, kSquareCentring, kLogit, kSgd,
                                       broken + "centring that grows, " + kSquareCentring));
  findings.push_back(
      pruned_in_the_end(bench, kCompetitor, kSigmoid, kSgd, broken + "the " + kCompetitor));
  for (const ConflictPenalty penalty : kPenalties) {
    findings.push_back(
        pruned_in_the_end(bench, kWeakCentring, penalty, kSgd,
                          std::string("99 % of the paths are below 0.01 in the end with a "
                                      "weak centring, ") +
                              kWeakCentring));
  }
  return findings;
}

TheoryChart time_chart(const Bench& bench, const std::string& id, const std::string& bound,
                       std::vector<double> PruningShares::*share) {
  TheoryChart chart{id,
                    "Share of links with p below " + bound + ", base setting",
                    {"step", false},
                    {"share of paths", false},
                    {}};
  for (const ConflictPenalty penalty : kPenalties) {
    for (const LinkOptimizer optimizer : kOptimizers) {
      const PruningShares& shares = bench.shares("base", penalty, optimizer);
      TheorySeries series;
      series.label = label_of(penalty, optimizer);
      series.style = optimizer == LinkOptimizer::kSgd ? "line" : "dashed";
      series.x = shares.steps;
      series.y = shares.*share;
      chart.series.push_back(std::move(series));
    }
  }
  return chart;
}

TheoryChart sweep_chart(const Bench& bench, const Sweep& sweep) {
  const std::string symbol = sweep.symbol;
  TheoryChart chart{std::string("theorem1_") + sweep.id,
                    "Share of links with p below 0.1 against time, over " + symbol + ", plain SGD",
                    {"step", false},
                    {"share of paths", false},
                    {}};
  for (const ConflictPenalty penalty : kPenalties) {
    for (const double value : sweep.values) {
      const PruningShares& shares =
          bench.shares(change_of(sweep, value), penalty, LinkOptimizer::kSgd);
      TheorySeries series;
      series.label = std::string(name_of(penalty)) + ", " + symbol + " = " + figure(value);
      series.style = penalty == ConflictPenalty::kLogit ? "line" : "dashed";
      series.x = shares.steps;
      series.y = shares.below_tenth;
      chart.series.push_back(std::move(series));
    }
  }
  return chart;
}

TheoryChart martingale_chart() {
  TheoryChart chart{"theorem1_change",
                    "Change of E[p] in one step of plain SGD",
                    {"p", true},
                    {"E[p'] - p, in units of p", false},
                    {}};
  for (const ConflictPenalty penalty : kPenalties) {
    for (const double noise : {0.2, 5.0}) {
      LinkDynamics dynamics = base_of(penalty);
      dynamics.noise = noise;
      TheorySeries series;
      series.label = std::string(name_of(penalty)) + ", s = " + figure(noise);
      series.style = penalty == ConflictPenalty::kLogit ? "line" : "dashed";
      for (int i = 0; i <= 60; ++i) {
        const double p = std::pow(10.0, -4.0 + 4.0 * i / 60.0 - 0.001);
        series.x.push_back(p);
        series.y.push_back(expected_change(dynamics, p) / p);
      }
      chart.series.push_back(std::move(series));
    }
  }
  return chart;
}

TheoryTable settings_table(const Bench& bench) {
  TheoryTable table{"Every setting at step " + std::to_string(bench.plan().steps),
                    {"setting", "penalty", "optimiser", "p<0.1", "p<0.01", "p>0.9", "mean p",
                     "half below 0.1 by step", "came back"},
                    {}};
  for (const Setting& setting : bench.settings()) {
    const PruningShares& shares = setting.shares;
    table.rows.push_back(
        {setting.changed, name_of(setting.dynamics.penalty), to_string(setting.optimizer),
         share_figure(shares.below_tenth.back()), share_figure(shares.below_hundredth.back()),
         share_figure(shares.above_nine_tenths), figure(shares.mean_p),
         shares.half_time ? figure(*shares.half_time) : "never", share_figure(shares.returned)});
  }
  return table;
}

}  // namespace

TheorySection verify_pruning(const TheoryOptions& options, const TheoryRun* run) {
  Bench bench(options);
  run_sweeps(bench);
  run_breakers(bench);
  const LinkDynamics base;
  TheorySection section;
  section.id = "theorem1";
  section.title = "Theorem 1: persistent conflict prunes a link";
  section.text = "Paths of Eq. 27 from A ~ N(0, 0.01²). Base: η = " + figure(base.step_size) +
                 " (the topology learning rate), λ = " + figure(base.lambda) +
                 ", δ = " + figure(base.conflict) + ", s = " + figure(base.noise) +
                 " (noise as large as the pressure λδ), no task gain, no regularisation; " +
                 std::to_string(options.paths) + " paths of " + std::to_string(bench.plan().steps) +
                 " steps a setting, longer where the flow without noise needs longer. One of η, δ, "
                 "s is changed at a time. Plain SGD is the theorem's, AdamW "
                 "the training's optimiser.";
  section.findings = findings_of(bench);
  section.charts = {
      time_chart(bench, "theorem1_below_tenth", "0.1", &PruningShares::below_tenth),
      time_chart(bench, "theorem1_below_hundredth", "0.01", &PruningShares::below_hundredth)};
  for (const Sweep& sweep : sweeps()) section.charts.push_back(sweep_chart(bench, sweep));
  section.charts.push_back(martingale_chart());
  section.tables = {settings_table(bench)};
  if (run != nullptr) add_pruning_of_run(section, *run);
  return section;
}

}  // namespace cdsp
