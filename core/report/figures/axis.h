// Axes of charts: their range, round ticks and where a value lies.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cdsp {

struct Tick {
  double value = 0;
  std::string text;
};

struct AxisRules {
  bool logarithmic = false;
  bool round_ends = false;  // widened to round ends
  size_t wanted_ticks = 5;
  bool whole = false;  // ticks at whole numbers only
  std::optional<double> least = {},
                        most = {};  // the quantity cannot lie beyond, nor does a linear axis
};

class Axis {
 public:
  /// Covers the finite values (with a logarithmic axis, the positive ones).
  Axis(const std::vector<double>& values, const AxisRules& rules);

  /// 0 at the low end, 1 at the high end; NaN for what the axis cannot show.
  double position(double value) const;
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  void linear_ticks(double low, double high);
  void logarithmic_ticks(double low, double high);

  AxisRules rules_;
  double low_ = 0, high_ = 1;  // of the logarithm where logarithmic
  std::vector<Tick> ticks_;
};

/// A number short enough for a tick or a sentence: at most `digits` significant digits, without
/// needless zeros; "-" if it is not finite.
std::string short_number(double value, int digits = 3);

}  // namespace cdsp
