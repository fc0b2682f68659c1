#include "report/scaling_charts.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "report/figures/line_chart.h"

namespace cdsp {
namespace {

std::string axis_label(ScalingAxis axis) {
  switch (axis) {
    case ScalingAxis::kBatch:
      return "images a step";
    case ScalingAxis::kExperts:
      return "experts N";
    case ScalingAxis::kDBase:
      return "physical dimensions D";
    case ScalingAxis::kLayers:
      return "layers";
    case ScalingAxis::kThreads:
      break;
  }
  return "threads";
}

std::vector<ScalingPoint> points_on(const std::vector<ScalingPoint>& points, ScalingAxis axis) {
  std::vector<ScalingPoint> own;
  std::copy_if(points.begin(), points.end(), std::back_inserter(own),
               [axis](const ScalingPoint& point) { return point.axis == axis; });
  return own;
}

/// Measured line and floor of a variant, in one colour.
void add_variant(LineChart& chart, const std::vector<ScalingPoint>& points,
                 const std::string& variant, size_t colour) {
  ChartSeries measured, floor;
  measured.label = variant;
  floor.label = variant + ": products alone";
  floor.style = ChartSeries::Style::kDashed;
  measured.colour = floor.colour = colour;
  for (const ScalingPoint& point : points) {
    if (point.step.variant != variant) continue;
    const auto x = static_cast<double>(point.value);
    measured.x.push_back(x);
    measured.y.push_back(point.step.ms_per_step);
    measured.low.push_back(point.step.ms_fastest);
    measured.high.push_back(point.step.ms_slowest);
    floor.x.push_back(x);
    floor.y.push_back(point.step.floor->ms);
  }
  chart.series.push_back(measured);
  chart.series.push_back(floor);
}

ChartSeries guide_line(const std::vector<ScalingPoint>& points, ScalingAxis axis, size_t colour) {
  const double slope = axis == ScalingAxis::kThreads ? -1.0 : 1.0;
  const auto value_of = [](const ScalingPoint& point) { return static_cast<double>(point.value); };
  const double start = value_of(points.front()), height = points.front().step.ms_per_step;
  double end = start;
  for (const ScalingPoint& point : points) end = std::max(end, value_of(point));
  ChartSeries guide;
  guide.label = slope < 0 ? "slope -1: inversely proportional" : "slope 1: proportional";
  guide.style = ChartSeries::Style::kDashed;
  guide.colour = colour;
  guide.x = {start, end};
  guide.y = {height, height * std::pow(end / start, slope)};
  return guide;
}

}  // namespace

std::string scaling_chart_svg(const std::vector<ScalingPoint>& points, ScalingAxis axis) {
  const std::vector<ScalingPoint> own = points_on(points, axis);
  if (own.empty()) {
    throw InputError(std::string("scaling chart: nothing was measured on the axis ") +
                     to_string(axis));
  }
  std::vector<std::string> variants;
  for (const ScalingPoint& point : own) {
    if (variants.empty() || variants.back() != point.step.variant) {
      variants.push_back(point.step.variant);
    }
  }
  const StepBenchResult& first = own.front().step;
  LineChart chart;
  chart.title = "Cost of a training step against " + axis_label(axis);
  chart.subtitle = "CPU, " + first.dtype + ", engine " + first.engine;
  if (axis != ScalingAxis::kBatch) chart.subtitle += ", batch " + std::to_string(first.batch);
  if (axis != ScalingAxis::kThreads) chart.subtitle += ", threads " + std::to_string(first.threads);
  chart.x = {axis_label(axis), true};
  chart.y = {"milliseconds a step", true};
  for (size_t v = 0; v < variants.size(); ++v) add_variant(chart, own, variants[v], v);
  chart.series.push_back(guide_line(own, axis, variants.size()));
  return line_chart_svg(chart);
}

}  // namespace cdsp
