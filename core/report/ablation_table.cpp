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

/// Every other value less the base value, seed by seed: what seeds have in common drops out.
TextTable differences_table(const Ablation& ablation) {
  TextTable table({ablation.study.key, "separation", "95 %", "sep. blind", "95 %", "sparsity",
                   "95 %", "test acc.", "95 %", "blind acc.", "95 %"});
  for (const std::string& value : ablation.study.values) {
    if (value == ablation.base) continue;
    std::vector<std::string> row = {value};
    for (const Charted& measured : kCharted) {
      const Spread difference = difference_to_base(ablation, value, measured.measure);
      row.push_back(spread_text(difference, measured.scale, measured.decimals, true));
      row.push_back(interval_text(difference, measured.scale, measured.decimals));
    }
    table.add_row(row);
  }
  return table;
}

/// A bar per value from 0 to its mean, all on one scale: to the right of the axis what is above 0,
/// to the left what is below. What is not defined has none.
std::string bars(const Ablation& ablation, const Charted& chart, const Terminal& terminal) {
  double most = 0.0, least = 0.0;
  int64_t widest_name = 0;
  for (const std::string& value : ablation.study.values) {
    const double mean = over_seeds(ablation, value, chart.measure).mean;
    if (std::isfinite(mean)) most = std::max(most, mean), least = std::min(least, mean);
    widest_name = std::max(widest_name, display_width(value));
  }
  const double columns_per_unit =
      most > least ? static_cast<double>(kWidestBar) / (most - least) : 0;
  const auto columns_of = [&](double mean) {
    return std::isfinite(mean) ? std::llround(std::abs(mean) * columns_per_unit) : 0;
  };
  const int64_t left = columns_of(least);
  const char *mark = terminal.unicode ? "█" : "#", *axis = terminal.unicode ? "│" : "|";
  std::string text = std::string("\n") + chart.title + "\n";
  for (const std::string& value : ablation.study.values) {
    const Spread spread = over_seeds(ablation, value, chart.measure);
    const int64_t columns = columns_of(spread.mean);
    const bool below = spread.mean < 0.0;
    text += "  " + value + repeated(" ", widest_name - display_width(value) + 1);
    if (left > 0) {
      const int64_t own = below ? columns : 0;
      text += repeated(" ", left - own) + repeated(mark, own) + axis;
    }
    if (!below) text += repeated(mark, columns);
    if (left > 0 || columns > 0) text += " ";
    text += spread_text(spread, chart.scale, chart.decimals) + "\n";
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

std::string differences_heading(const Ablation& ablation) {
  return "Each value less " + ablation.study.key + " = " + ablation.base + " at the same seeds";
}

}  // namespace

std::string ablation_text(const Ablation& ablation, const Terminal& terminal) {
  std::string text = ablation.study.title.empty() ? "" : ablation.study.title + "\n";
  text += notes_text(ablation.notes) + heading(ablation) + "\n\n" + results_table(ablation).text();
  if (ablation.study.values.size() > 1) {
    text += "\n" + differences_heading(ablation) + "\n\n" + differences_table(ablation).text();
  }
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
  return "# " + title + "\n\n" + notes_markdown(ablation.notes) + heading(ablation) + ".\n\n" +
         results_table(ablation).markdown() + "\n" + differences_heading(ablation) + ":\n\n" +
         differences_table(ablation).markdown() +
         "\nMean ± sample standard deviation over seeds, then Student's 95 % interval of the mean. "
         "Separation index: layer 0, in bits; accuracies in per cent; blind: the task withheld. "
         "Seeds pair: what they have in common drops out of a difference, so judge by those.\n";
}

}  // namespace cdsp
