// The chart of a step's cost along one axis.
#include "report/scaling_charts.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "report/figures/axis.h"
#include "report/well_formed.h"
#include "support/catch.h"

namespace {

using namespace cdsp;
using Catch::Matchers::ContainsSubstring;

ScalingPoint point(ScalingAxis axis, int64_t value, const std::string& variant, double ms) {
  ScalingPoint result;
  result.axis = axis;
  result.value = value;
  result.step.variant = variant;
  result.step.dtype = "float32";
  result.step.engine = "fused";
  result.step.batch = 128;
  result.step.threads = 2;
  result.step.ms_per_step = ms;
  result.step.ms_fastest = 0.9 * ms;
  result.step.ms_slowest = 1.1 * ms;
  result.step.floor = StepFloor{};
  result.step.floor->ms = 0.5 * ms;
  return result;
}

}  // namespace

TEST_CASE("scaling is drawn with floors and a guide", "[report]") {
  const std::vector<ScalingPoint> points = {
      point(ScalingAxis::kBatch, 16, "baseline", 4), point(ScalingAxis::kBatch, 64, "baseline", 16),
      point(ScalingAxis::kBatch, 16, "cdsp", 8),     point(ScalingAxis::kBatch, 64, "cdsp", 30),
      point(ScalingAxis::kThreads, 1, "cdsp", 60),   point(ScalingAxis::kThreads, 2, "cdsp", 31)};
  const std::string batch = scaling_chart_svg(points, ScalingAxis::kBatch);
  CHECK(test::is_well_formed(batch));
  CHECK_THAT(batch, ContainsSubstring("images a step"));
  CHECK_THAT(batch, ContainsSubstring("cdsp: products alone"));
  CHECK_THAT(batch, ContainsSubstring("slope 1: proportional"));
  // The guide goes from the first point four times as far and four times as high.
  CHECK_THAT(batch, ContainsSubstring("proportional: 4 at 16 to 16 at 64"));
  const std::string threads = scaling_chart_svg(points, ScalingAxis::kThreads);
  CHECK(test::is_well_formed(threads));
  CHECK_THAT(threads, ContainsSubstring("inversely proportional: 60 at 1 to 30 at 2"));
  CHECK_THROWS_AS(scaling_chart_svg(points, ScalingAxis::kLayers), InputError);
}

TEST_CASE("a short logarithmic axis has more than the powers of ten", "[report]") {
  const auto texts = [](const std::vector<double>& values) {
    std::vector<std::string> found;
    AxisRules rules;
    rules.logarithmic = true;
    rules.wanted_ticks = 6;
    const Axis axis(values, rules);
    for (const Tick& tick : axis.ticks()) found.push_back(tick.text);
    return found;
  };
  CHECK(texts({16, 1024}) == std::vector<std::string>{"20", "50", "100", "200", "500", "1000"});
  CHECK(texts({1, 8}) == std::vector<std::string>{"1", "2", "5"});
  CHECK(texts({1, 2000}) == std::vector<std::string>{"1", "10", "100", "1000"});
}
