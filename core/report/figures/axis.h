// Axes of charts: their range, round ticks and where a value lies.
#pragma once

#include <string>
#include <vector>

namespace cdsp {

struct Tick {
  double value = 0;
  std::string text;
};

class Axis {
 public:
  /// Covers the finite values (with a logarithmic axis, the positive ones), widened to round ends
  /// where `round_ends`.
  Axis(const std::vector<double>& values, bool logarithmic, bool round_ends, size_t wanted_ticks);

  /// 0 at the low end, 1 at the high end; NaN for what the axis cannot show.
  double position(double value) const;
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  void linear_ticks(double low, double high, bool round_ends, size_t wanted);
  void logarithmic_ticks(double low, double high, bool round_ends);

  bool logarithmic_;
  double low_ = 0, high_ = 1;  // of the logarithm where logarithmic
  std::vector<Tick> ticks_;
};

/// A number short enough for a tick or a sentence: at most `digits` significant digits, without
/// needless zeros; "-" if it is not finite.
std::string short_number(double value, int digits = 3);

}  // namespace cdsp
