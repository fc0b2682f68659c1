#include "report/ablation_table.h"

#include <algorithm>
#include <cmath>

#include "report/comparison_table.h"
#include "report/text_table.h"

namespace cdsp {
namespace {

constexpr int64_t kWidestBar = 40;

struct Charted {
  const char* measure;
  const char* title;
  double scale;
  int decimals;
};
constexpr Charted kCharted[] = {
    {"separation_index", "separation index, told the task (bits)", 1, 3},
    {"blind_separation_index", "separation index, not told (bits)", 1, 3},
    {"alpha_sparsity", "alpha sparsity", 1, 3},
    {"test_accuracy", "test accuracy (%)", 100, 2},
    {"blind_accuracy", "test accuracy, not told (%)", 100, 2}};

Spread over_seeds(const Ablation& ablation, const std::string& value, const char* measure) {
  return spread_over_seeds(ablation.runs, ablation.arm(value), measure);
}

TextTable results_table(const Ablation& ablation) {
  TextTable table({ablation.study.key, "separation", "95 %", "sep. blind", "95 %", "sparsity",
                   "test acc.", "95 %", "blind acc."});
  for (const std::string& value : ablation.study.values) {
    const auto over = [&](const char* measure) { return over_seeds(ablation, value, measure); };
    table.add_row({value, spread_text(over("separation_index"), 1, 3),
                   interval_text(over("separation_index"), 1, 3),
                   spread_text(over("blind_separation_index"), 1, 3),
                   interval_text(over("blind_separation_index"), 1, 3),
                   spread_text(over("alpha_sparsity"), 1, 3),
                   spread_text(over("test_accuracy"), 100, 2),
                   interval_text(over("test_accuracy"), 100, 2),
                   spread_text(over("blind_accuracy"), 100, 2)});
  }
  return table;
}

std::string repeated(const char* mark, int64_t times) {
  std::string text;
  for (int64_t i = 0; i < times; ++i) text += mark;
  return text;
}

/// A bar per value from 0 to the largest mean; what is below 0 or not defined has none.
std::string bars(const Ablation& ablation, const Charted& chart, const Terminal& terminal) {
  double largest = 0.0;
  int64_t widest_name = 0;
  for (const std::string& value : ablation.study.values) {
    const double mean = over_seeds(ablation, value, chart.measure).mean;
    if (std::isfinite(mean)) largest = std::max(largest, mean);
    widest_name = std::max(widest_name, display_width(value));
  }
  std::string text = std::string("\n") + chart.title + "\n";
  for (const std::string& value : ablation.study.values) {
    const Spread spread = over_seeds(ablation, value, chart.measure);
    const double share = std::isfinite(spread.mean) && largest > 0.0 ? spread.mean / largest : 0.0;
    const auto columns = std::llround(std::max(0.0, share) * static_cast<double>(kWidestBar));
    text += "  " + value +
            std::string(static_cast<size_t>(widest_name - display_width(value)), ' ') + " " +
            repeated(terminal.unicode ? "█" : "#", columns) + (columns > 0 ? " " : "") +
            spread_text(spread, chart.scale, chart.decimals) + "\n";
  }
  return text;
}

std::string heading(const Ablation& ablation) {
  std::string seeds;
  for (const uint64_t seed : ablation.seeds)
    seeds += (seeds.empty() ? "" : ", ") + std::to_string(seed);
  return ablation.study.config.generic_string() + ", " + ablation.study.key + " at " +
         std::to_string(ablation.study.values.size()) + " values; " +
         (ablation.seeds.size() == 1 ? "seed " : "seeds ") + seeds;
}

}  // namespace

std::string ablation_text(const Ablation& ablation, const Terminal& terminal) {
  std::string text = ablation.study.title.empty() ? "" : ablation.study.title + "\n";
  text += heading(ablation) + "\n\n" + results_table(ablation).text();
  for (const Charted& chart : kCharted) {
    const auto& values = ablation.study.values;
    const bool measured = std::any_of(values.begin(), values.end(), [&](const std::string& value) {
      return over_seeds(ablation, value, chart.measure).seeds > 0;
    });
    if (measured) text += bars(ablation, chart, terminal);
  }
  return text;
}

std::string ablation_markdown(const Ablation& ablation) {
  const std::string title =
      ablation.study.title.empty() ? "Ablation of " + ablation.study.key : ablation.study.title;
  return "# " + title + "\n\n" + heading(ablation) + ".\n\n" + results_table(ablation).markdown() +
         "\nMean ± sample standard deviation over seeds, then Student's 95 % interval of the mean. "
         "Separation index: layer 0, in bits; accuracies in per cent; blind: the task withheld.\n";
}

}  // namespace cdsp
