#include "experiment/theory_lemma1.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/special_functions/gamma.hpp>

#include "base/random.h"
#include "eval/statistics.h"

namespace cdsp {
namespace {

const std::vector<int64_t> kDimensions = {4, 16, 64, 256, 1024, 4096};
const std::vector<double> kDepths = {0.05, 0.1, 0.2};  // eps
constexpr double kPi = 3.14159265358979323846;
constexpr double kCloseShares = 0.01;    // "approximately" for two probabilities
constexpr double kCloseExponent = 0.02;  // and for the power of m

double normal_cdf(double x) { return boost::math::cdf(boost::math::normal(), x); }

/// What was drawn at one dimension.
struct Drawn {
  int64_t dimension = 0;
  std::vector<double> cosines;  // rising

  double share_below(double x) const {
    const auto place = std::lower_bound(cosines.begin(), cosines.end(), x);
    return static_cast<double>(place - cosines.begin()) / static_cast<double>(cosines.size());
  }
  Interval interval_below(double x, double confidence) const {
    const auto place = std::lower_bound(cosines.begin(), cosines.end(), x);
    return *clopper_pearson_interval(place - cosines.begin(), static_cast<int64_t>(cosines.size()),
                                     confidence);
  }
  std::vector<double> scaled() const {
    std::vector<double> values;
    for (const double cosine : cosines)
      values.push_back(std::sqrt(static_cast<double>(dimension)) * cosine);
    return values;
  }
  double mean_conflict() const {
    double sum = 0.0;
    for (const double cosine : cosines) sum += std::max(0.0, -cosine);
    return sum / static_cast<double>(cosines.size());
  }
  /// Largest distance of the distribution of sqrt(m) cos from N(0, 1) (Kolmogorov-Smirnov).
  double distance_to_normal() const {
    const std::vector<double> values = scaled();
    const auto count = static_cast<double>(values.size());
    double distance = 0.0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double law = normal_cdf(values[i]), rank = static_cast<double>(i);
      distance = std::max({distance, law - rank / count, (rank + 1.0) / count - law});
    }
    return distance;
  }
};

std::vector<Drawn> draw_all(const TheoryOptions& options) {
  std::vector<Drawn> all;
  for (const int64_t dimension : kDimensions) {
    all.push_back({dimension, sample_cosines(dimension, options.paths, options.seed)});
    std::sort(all.back().cosines.begin(), all.back().cosines.end());
  }
  return all;
}

/// Level of one of `tests` checks, so that all together raise no more than one false alarm in a
/// thousand seeds: the lemma is a theorem, and chance should not seem to refute it.
double level_of(double tests) { return 1.0 - 0.001 / tests; }

TheoryFinding sign_is_a_coin(const std::vector<Drawn>& all) {
  TheoryFinding finding{"P(cos < 0) = 1/2 in every dimension", true, "share of negative cosines"};
  for (const Drawn& drawn : all) {
    const Interval interval = drawn.interval_below(0.0, level_of(static_cast<double>(all.size())));
    finding.holds = *finding.holds && interval.low <= 0.5 && 0.5 <= interval.high;
    finding.evidence += (drawn.dimension == kDimensions.front() ? " " : ", ") +
                        share_figure(drawn.share_below(0.0)) +
                        " at m = " + std::to_string(drawn.dimension);
  }
  finding.evidence += "; held to the exact interval of each, all six together at 99.9 %";
  return finding;
}

TheoryFinding spread_is_normal(const std::vector<Drawn>& all) {
  const Drawn &least = all.front(), &most = all.back();
  const double critical = 1.949 / std::sqrt(static_cast<double>(most.cosines.size()));
  const double distance = most.distance_to_normal();
  const std::vector<double> scaled = most.scaled();
  return {"√m·cos tends to N(0, 1)", distance <= critical,
          "at m = " + std::to_string(most.dimension) + ": mean " + figure(sample_mean(scaled)) +
              ", standard deviation " + figure(*sample_standard_deviation(scaled)) +
              ", Kolmogorov-Smirnov distance " + figure(distance) + " (0.1 % bound " +
              figure(critical) + "); at m = " + std::to_string(least.dimension) + " it is " +
              figure(least.distance_to_normal())};
}

TheoryFinding tail_follows_law() {
  double small = 0.0, large = 0.0;
  for (const int64_t dimension : kDimensions) {
    for (const double eps : kDepths) {
      const double gap = std::abs(isotropic_conflict_share(dimension, eps) -
                                  normal_conflict_share(dimension, eps));
      (dimension < 16 ? small : large) = std::max(dimension < 16 ? small : large, gap);
    }
  }
  return {"P(cos < -ε) ≈ Φ(-ε√m) to 0.01 from m = 16 on", large <= kCloseShares,
          "largest gap between the exact law and Φ: " + figure(large) + " for m ≥ 16, " +
              figure(small) + " for m = 4, over ε = 0.05, 0.1, 0.2"};
}

TheoryFinding samples_follow_exact_law(const std::vector<Drawn>& all) {
  const double tests = static_cast<double>(all.size() * kDepths.size());
  int64_t outside = 0;
  for (const Drawn& drawn : all) {
    for (const double eps : kDepths) {
      const Interval interval = drawn.interval_below(-eps, level_of(tests));
      const double law = isotropic_conflict_share(drawn.dimension, eps);
      if (law < interval.low || law > interval.high) ++outside;
    }
  }
  return {"the drawn shares below -ε agree with the exact law", outside == 0,
          std::to_string(outside) + " of " + figure(tests) +
              " shares lie outside their exact intervals (all together at 99.9 %)"};
}

TheoryFinding conflict_shrinks(const std::vector<Drawn>& all) {
  // Slope of log E[ReLU(-cos)] over log m, least squares, from m = 64 on.
  double n = 0.0, x = 0.0, y = 0.0, xx = 0.0, xy = 0.0;
  for (const Drawn& drawn : all) {
    if (drawn.dimension < 64) continue;
    const double a = std::log(static_cast<double>(drawn.dimension));
    const double b = std::log(drawn.mean_conflict());
    n += 1.0, x += a, y += b, xx += a * a, xy += a * b;
  }
  const double slope = (n * xy - x * y) / (n * xx - x * x);
  return {"conflict is certain to occur but shrinks as m^(-1/2)",
          std::abs(slope + 0.5) <= kCloseExponent,
          "mean ReLU(-cos) " + figure(all.front().mean_conflict()) + " at m = 4, " +
              figure(all.back().mean_conflict()) + " at m = 4096; power of m from 64 on " +
              figure(slope) + ", held to -0.5 ± 0.02"};
}

TheoryChart tail_chart(const std::vector<Drawn>& all) {
  TheoryChart chart{"lemma1_tail",
                    "How often two random gradients conflict deeper than ε",
                    {"dimension m", true},
                    {"P(cos < -ε)", false},
                    {}};
  for (const double eps : kDepths) {
    TheorySeries drawn_series, law;
    drawn_series.label = "drawn, ε = " + figure(eps);
    drawn_series.style = "points";
    law.label = "Φ(-ε√m), ε = " + figure(eps);
    for (const Drawn& drawn : all) {
      const Interval interval = drawn.interval_below(-eps, kConfidence);
      drawn_series.x.push_back(static_cast<double>(drawn.dimension));
      drawn_series.y.push_back(drawn.share_below(-eps));
      drawn_series.low.push_back(interval.low);
      drawn_series.high.push_back(interval.high);
    }
    for (int64_t m = 4; m <= 4096; m *= 2) {
      law.x.push_back(static_cast<double>(m));
      law.y.push_back(normal_conflict_share(m, eps));
    }
    chart.series.push_back(std::move(drawn_series));
    chart.series.push_back(std::move(law));
  }
  return chart;
}

TheoryChart distribution_chart(const std::vector<Drawn>& all) {
  TheoryChart chart{"lemma1_distribution",
                    "Distribution of √m·cos",
                    {"√m·cos", false},
                    {"share below", false},
                    {}};
  std::vector<double> grid;
  for (int i = -30; i <= 30; ++i) grid.push_back(0.1 * i);
  for (const Drawn& drawn : all) {
    if (drawn.dimension != 4 && drawn.dimension != 64 && drawn.dimension != 4096) continue;
    TheorySeries series;
    series.label = "m = " + std::to_string(drawn.dimension);
    series.x = grid;
    for (const double x : grid)
      series.y.push_back(drawn.share_below(x / std::sqrt(static_cast<double>(drawn.dimension))));
    chart.series.push_back(std::move(series));
  }
  TheorySeries law;
  law.label = "N(0, 1)";
  law.style = "dashed";
  law.x = grid;
  for (const double x : grid) law.y.push_back(normal_cdf(x));
  chart.series.push_back(std::move(law));
  return chart;
}

TheoryTable sample_table(const std::vector<Drawn>& all) {
  TheoryTable table{"Cosines of independent isotropic gradients",
                    {"m", "pairs", "P(cos<0)", "mean of √m·cos", "its std", "mean ReLU(-cos)",
                     "exact", "P(cos<-0.1)", "exact", "Φ(-0.1√m)"},
                    {}};
  for (const Drawn& drawn : all) {
    const std::vector<double> scaled = drawn.scaled();
    table.rows.push_back({std::to_string(drawn.dimension), std::to_string(drawn.cosines.size()),
                          figure(drawn.share_below(0.0)), figure(sample_mean(scaled)),
                          figure(*sample_standard_deviation(scaled)), figure(drawn.mean_conflict()),
                          figure(isotropic_mean_conflict(static_cast<double>(drawn.dimension))),
                          figure(drawn.share_below(-0.1)),
                          figure(isotropic_conflict_share(drawn.dimension, 0.1)),
                          figure(normal_conflict_share(drawn.dimension, 0.1))});
  }
  return table;
}

/// A run's epoch: mean C of the pairs that share columns, beside what isotropic gradients would
/// have in as many dimensions.
struct MeasuredConflict {
  double epoch = 0, pairs = 0, dimension = 0, measured = 0, isotropic = 0, largest = 0;
};

MeasuredConflict measured_conflict(const TheoryRun& run, const TheoryEpoch& epoch) {
  const double per_column = static_cast<double>(run.config.model.d_model) *
                            (run.config.conflict.gradient == ConflictGradient::kUv ? 2.0 : 1.0);
  MeasuredConflict result;
  result.epoch = static_cast<double>(epoch.epoch);
  for (size_t layer = 0; layer < epoch.links.size(); ++layer) {
    const auto shared =
        shared_columns(epoch.links[layer], run.config.moe.d_base, run.config.moe.resolved_rank());
    for (size_t i = 0; i < shared.size(); ++i) {
      for (size_t j = 0; j < shared.size(); ++j) {
        if (i == j || shared[i][j] == 0) continue;
        const double dimension = per_column * static_cast<double>(shared[i][j]);
        const double conflict = epoch.conflict[layer][i][j];
        result.pairs += 1.0;
        result.dimension += dimension;
        result.measured += conflict;
        result.isotropic += isotropic_mean_conflict(dimension);
        result.largest = std::max(result.largest, conflict);
      }
    }
  }
  if (result.pairs > 0.0) {
    result.dimension /= result.pairs;
    result.measured /= result.pairs;
    result.isotropic /= result.pairs;
  }
  return result;
}

void add_run(TheorySection& section, const TheoryRun& run) {
  std::vector<MeasuredConflict> epochs;
  for (const TheoryEpoch& epoch : run.epochs) {
    epochs.push_back(measured_conflict(run, epoch));
    if (epochs.back().pairs == 0.0) epochs.pop_back();
  }
  section.findings.push_back(
      {"the signs and the law of the run's cosines can be seen in its files", std::nullopt,
       "no: conflict/epoch_NNN.csv has the epoch's mean of C = ReLU(-cos) for each pair, where "
       "positive cosines and steps at which a pair does not count add 0; the single cosines, "
       "their signs and how often a pair counted are not kept, so the mean is a lower bound of "
       "the mean conflict while a pair counts"});
  if (epochs.empty()) {
    section.findings.push_back({"the run's gradients conflict as isotropic ones would",
                                std::nullopt, "no two experts share a column at an epoch's end"});
    return;
  }
  TheorySeries measured, isotropic;
  measured.label = "run, mean C of pairs that share columns";
  isotropic.label = "isotropic gradients in as many dimensions";
  isotropic.style = "dashed";
  TheoryTable table{"Measured conflict of the run",
                    {"epoch", "pairs sharing columns", "mean m", "mean C", "isotropic", "ratio",
                     "largest C", "m of equal isotropic conflict"},
                    {}};
  double least = std::numeric_limits<double>::infinity(), most = 0.0;
  for (const MeasuredConflict& each : epochs) {
    const double ratio = each.measured / each.isotropic;
    least = std::min(least, ratio);
    most = std::max(most, ratio);
    for (auto* series : {&measured, &isotropic}) series->x.push_back(each.epoch);
    measured.y.push_back(each.measured);
    isotropic.y.push_back(each.isotropic);
    table.rows.push_back({figure(each.epoch), figure(each.pairs), figure(each.dimension),
                          figure(each.measured), figure(each.isotropic), figure(ratio),
                          figure(each.largest), figure(effective_dimension(each.measured))});
  }
  const MeasuredConflict &first = epochs.front(), &last = epochs.back();
  section.findings.push_back(
      {"the run's gradients conflict as isotropic ones would (mean C at most 10 % off in every "
       "epoch)",
       least >= 0.9 && most <= 1.1,
       "mean C " + figure(first.measured) + " in epoch " + figure(first.epoch) + " and " +
           figure(last.measured) + " in epoch " + figure(last.epoch) +
           ", isotropic gradients in the same m (" + figure(first.dimension) + " and " +
           figure(last.dimension) + " on average) " + figure(first.isotropic) + " and " +
           figure(last.isotropic) + ": ratio from " + figure(least) + " to " + figure(most) +
           " over the epochs; the mean is over all steps, S_i is the epoch's last"});
  section.charts.push_back({"lemma1_run",
                            "Conflict measured in the run and the isotropic law",
                            {"epoch", false},
                            {"mean ReLU(-cos)", true},
                            {std::move(measured), std::move(isotropic)}});
  section.tables.push_back(std::move(table));
}

}  // namespace

std::vector<double> sample_cosines(int64_t dimension, int64_t pairs, uint64_t seed) {
  RandomStream random(seed, RandomPurpose::kTheory, static_cast<uint64_t>(dimension));
  std::vector<double> cosines(static_cast<size_t>(pairs));
  for (double& cosine : cosines) {
    double dot = 0.0, square_a = 0.0, square_b = 0.0;
    for (int64_t i = 0; i < dimension; ++i) {
      const double a = random.normal(), b = random.normal();
      dot += a * b;
      square_a += a * a;
      square_b += b * b;
    }
    cosine = dot / std::sqrt(square_a * square_b);
  }
  return cosines;
}

double isotropic_conflict_share(int64_t dimension, double eps) {
  const double half = 0.5 * (static_cast<double>(dimension) - 1.0);
  return boost::math::cdf(boost::math::beta_distribution<>(half, half), 0.5 * (1.0 - eps));
}

double normal_conflict_share(int64_t dimension, double eps) {
  return normal_cdf(-eps * std::sqrt(static_cast<double>(dimension)));
}

double isotropic_mean_conflict(double dimension) {
  return boost::math::tgamma_delta_ratio(0.5 * dimension, 0.5) / (2.0 * std::sqrt(kPi));
}

double effective_dimension(double mean_conflict) {
  return 1.0 / (2.0 * kPi * mean_conflict * mean_conflict);
}

TheorySection verify_lemma1(const TheoryOptions& options, const TheoryRun* run) {
  const std::vector<Drawn> all = draw_all(options);
  TheorySection section;
  section.id = "lemma1";
  section.title = "Lemma 1: conflict between random gradients";
  section.text =
      "Pairs of independent standard normal vectors g_i, g_j in dimension m, and their cosines. A "
      "block of 32 shared columns with U and V together has m = 32 · 2 · 64 = 4096 in "
      "the paper's network. The exact law of the cosine, (1 + cos)/2 ~ Beta((m-1)/2, (m-1)/2), "
      "stands beside the lemma's normal law.";
  section.findings = {sign_is_a_coin(all), spread_is_normal(all), tail_follows_law(),
                      samples_follow_exact_law(all), conflict_shrinks(all)};
  section.charts = {tail_chart(all), distribution_chart(all)};
  section.tables = {sample_table(all)};
  if (run != nullptr) add_run(section, *run);
  return section;
}

}  // namespace cdsp
