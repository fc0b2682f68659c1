#include "report/figures/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "report/text_table.h"

namespace cdsp {
namespace {

/// 1, 2 or 5 times a power of ten, at least `rough`.
double round_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

}  // namespace

Axis::Axis(const std::vector<double>& values, const AxisRules& rules) : rules_(rules) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values) {
    if (!std::isfinite(value) || (rules.logarithmic && value <= 0)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) {
    low = rules.logarithmic ? 0.1 : 0.0;
    high = 1.0;
  }
  if (rules.logarithmic) {
    logarithmic_ticks(low, high);
  } else {
    linear_ticks(low, high);
  }
}

void Axis::linear_ticks(double low, double high) {
  const auto limit = [this](double value) {
    if (rules_.least) value = std::max(value, *rules_.least);
    return rules_.most ? std::min(value, *rules_.most) : value;
  };
  low = limit(low);
  high = limit(high);
  if (high - low < 1e-12 * std::max(1.0, std::abs(high))) {
    // One value: room to either side, so that it lies in the middle.
    const double room = std::max(std::abs(high) * 0.1, 1e-3);
    low = limit(low - room);
    high = limit(high + room);
  }
  double step = round_step((high - low) / static_cast<double>(rules_.wanted_ticks));
  if (rules_.whole) step = std::max(step, 1.0);
  if (rules_.round_ends) {
    low = limit(std::floor(low / step + 1e-9) * step);
    high = limit(std::ceil(high / step - 1e-9) * step);
  }
  low_ = low;
  high_ = high;
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  const auto last = static_cast<int64_t>(std::floor(high / step + 1e-9));
  for (auto n = static_cast<int64_t>(std::ceil(low / step - 1e-9)); n <= last; ++n) {
    const double value = static_cast<double>(n) * step;
    ticks_.push_back({value, fixed_number(n == 0 ? 0.0 : value, decimals)});
  }
}

void Axis::logarithmic_ticks(double low, double high) {
  low_ = std::log10(low);
  high_ = std::log10(high);
  if (rules_.round_ends || high_ - low_ < 1e-9) {
    low_ = std::floor(low_ + 1e-9);
    high_ = std::max(std::ceil(high_ - 1e-9), low_ + 1);
  }
  // Less than two whole decades: their 2 and 5 have room for labels too.
  const bool is_short = high_ - low_ < 2 - 1e-9;
  // No more than about six labels.
  const auto stride = std::max<int64_t>(1, static_cast<int64_t>(std::ceil((high_ - low_) / 6)));
  const auto add = [&](double value) {
    const double place = std::log10(value);
    if (place < low_ - 1e-9 || place > high_ + 1e-9) return;
    ticks_.push_back({value, short_number(value)});
  };
  const double first = is_short ? std::floor(low_ + 1e-9) : std::ceil(low_ - 1e-9);
  for (auto power = static_cast<int64_t>(first); static_cast<double>(power) <= high_ + 1e-9;
       power += stride) {
    const double value = std::pow(10.0, static_cast<double>(power));
    add(value);
    if (!is_short) continue;
    add(2 * value);
    add(5 * value);
  }
}

double Axis::position(double value) const {
  if (rules_.logarithmic) value = value > 0 ? std::log10(value) : std::nan("");
  return (value - low_) / (high_ - low_);
}

std::string short_number(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  const double size = std::abs(value);
  // Where the digits end before the units: the whole number rather than a power of ten.
  if (size >= std::pow(10.0, digits) - 0.5 && size < 1e7) {
    std::snprintf(text, sizeof text, "%.0f", value);
  }
  return text;
}

}  // namespace cdsp
