// The figures as SVG.
#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "report/figures/axis.h"
#include "report/figures/interval_chart.h"
#include "report/figures/line_chart.h"
#include "report/figures/matrix_heatmap.h"
#include "report/figures/svg_canvas.h"
#include "report/well_formed.h"
#include "support/catch.h"

namespace {

using namespace cdsp;
using Catch::Matchers::ContainsSubstring;
using cdsp::test::is_well_formed;

const double kNaN = std::numeric_limits<double>::quiet_NaN();

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::vector<std::string> tick_texts(const Axis& axis) {
  std::vector<std::string> texts;
  for (const Tick& tick : axis.ticks()) texts.push_back(tick.text);
  return texts;
}

ChartSeries line_of(const std::string& label, const std::vector<double>& y) {
  ChartSeries series;
  series.label = label;
  for (size_t i = 0; i < y.size(); ++i) series.x.push_back(static_cast<double>(i + 1));
  series.y = y;
  return series;
}

}  // namespace

TEST_CASE("axes have round ticks", "[report]") {
  CHECK(tick_texts(Axis({0.03, 0.97}, false, true, 5)) ==
        std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(tick_texts(Axis({-1, 1}, false, true, 4)) ==
        std::vector<std::string>{"-1.0", "-0.5", "0.0", "0.5", "1.0"});
  CHECK(tick_texts(Axis({0.002, 30}, true, true, 5)) ==
        std::vector<std::string>{"0.001", "0.01", "0.1", "1", "10", "100"});
  const Axis axis({10, 20}, false, false, 5);
  CHECK(axis.position(10) == Catch::Approx(0.0));
  CHECK(axis.position(17.5) == Catch::Approx(0.75));
  CHECK(std::isnan(Axis({1, 10}, true, true, 5).position(0.0)));
  // One value, none, and none that can be shown.
  CHECK(Axis({5, 5}, false, true, 5).position(5) == Catch::Approx(0.5).margin(0.26));
  CHECK_FALSE(Axis({}, false, true, 5).ticks().empty());
  CHECK_FALSE(Axis({kNaN, -1}, true, true, 5).ticks().empty());
}

TEST_CASE("numbers are short", "[report]") {
  CHECK(short_number(0.12345) == "0.123");
  CHECK(short_number(12345) == "12345");
  CHECK(short_number(1e-7) == "1e-07");
  CHECK(short_number(2) == "2");
  CHECK(short_number(kNaN) == "-");
}

TEST_CASE("a chart of lines with bands", "[report]") {
  LineChart chart;
  chart.title = "Loss & <accuracy>";
  chart.subtitle = "Mean";
  chart.x = {"epoch", false};
  chart.y = {"nats", false};
  ChartSeries banded = line_of("first", {3, 2, kNaN, 1, 0.5});
  for (const double y : banded.y) {
    banded.low.push_back(y - 0.2);
    banded.high.push_back(y + 0.2);
  }
  chart.series = {banded, line_of("second", {2, 2, 2, 2, 2})};
  chart.series[1].colour = 1;
  chart.series[1].style = ChartSeries::Style::kDashed;
  const std::string svg = line_chart_svg(chart);
  CHECK(is_well_formed(svg));
  for (const char* part :
       {"role=\"img\"", "<title>Loss &amp; &lt;accuracy&gt;</title>", "first: 3 at 1 to 0.5 at 5.",
        ">epoch</text>", ">nats</text>", ">first</text>", "class=\"series-1\""}) {
    CHECK_THAT(svg, ContainsSubstring(part));
  }
  // The gap cuts both the line and its band in two; each line is in the legend once more.
  CHECK(count_of(svg, "class=\"band-0\"") == 2);
  CHECK(count_of(svg, "class=\"series-0\"") == 3);
  CHECK(count_of(svg, "nan") == 0);
}

TEST_CASE("a chart of points with bars, by category", "[report]") {
  LineChart chart;
  chart.title = "By value";
  chart.x = {"conflict.lambda", false};
  chart.y = {"bits", false};
  chart.categories = {"0", "10"};
  chart.thresholds = {0.0};
  ChartSeries points;
  points.label = "mean";
  points.style = ChartSeries::Style::kPoints;
  points.x = {0, 1};
  points.y = {0.1, 0.3};
  points.low = {0.0, kNaN};
  points.high = {0.2, kNaN};
  chart.series = {points};
  const std::string svg = line_chart_svg(chart);
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, ContainsSubstring("mean: 0.1 at 0 to 0.3 at 10."));
  CHECK(count_of(svg, "class=\"threshold\"") == 1);
  CHECK(count_of(svg, "<circle") == 3);             // two points and the legend's
  CHECK(count_of(svg, "class=\"series-0\"") == 3);  // one bar with its ends
  CHECK(count_of(svg, "nan") == 0);
}

TEST_CASE("a logarithmic chart leaves out what has no logarithm", "[report]") {
  LineChart chart;
  chart.title = "Law";
  chart.x = {"m", true};
  chart.y = {"P", true};
  chart.series = {line_of("P", {0.5, 0.0, 0.1, 0.01})};
  const std::string svg = line_chart_svg(chart);
  CHECK(is_well_formed(svg));
  CHECK(count_of(svg, "<circle") == 4);
  CHECK(count_of(svg, "nan") == 0);
  CHECK(count_of(svg, "inf") == 0);
}

TEST_CASE("a matrix with its values in the cells", "[report]") {
  MatrixHeatmap heatmap;
  heatmap.title = "Conflict";
  heatmap.subtitle = "Epoch 3";
  heatmap.description = "Words.";
  heatmap.legend = "Mean conflict";
  heatmap.rows = {"E0", "E1"};
  heatmap.largest = 0.03;
  heatmap.decimals = 3;
  heatmap.panels = {{"", {{0.0, 0.03}, {0.012, kNaN}}}};
  const std::string svg = matrix_heatmap_svg(heatmap);
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, ContainsSubstring("<desc>Epoch 3. Words.</desc>"));
  CHECK_THAT(svg, ContainsSubstring(">0.012</text>"));
  CHECK_THAT(svg, ContainsSubstring(">-</text>"));
  CHECK(count_of(svg, "data-part=\"cells\"") == 1);
  // White ink on the dark end, black on the light one.
  CHECK(std::regex_search(svg, std::regex("fill=\"#440154\"/>\\s*<text[^>]*fill=\"#ffffff\"")));
  CHECK(std::regex_search(svg, std::regex("fill=\"#fde725\"/>\\s*<text[^>]*fill=\"#000000\"")));
  CHECK(scale_end(0.0) == Catch::Approx(0.1));
  CHECK(scale_end(0.42) == Catch::Approx(0.5));
  CHECK(scale_end(0.5) == Catch::Approx(0.5));
  CHECK(scale_end(0.0283) == Catch::Approx(0.029));
}

TEST_CASE("intervals against thresholds", "[report]") {
  IntervalRow measured;
  measured.label = "separation index";
  measured.unit = "bits";
  measured.values = {0.1, 0.2, kNaN};
  measured.estimate = 0.15;
  measured.judged = {{0.05, 0.25}};
  measured.bootstrap = {{0.1, 0.2}};
  measured.threshold = 0.0;
  measured.direction = ">";
  measured.verdict = "supported";
  IntervalRow unknown;
  unknown.label = "something else";
  unknown.unit = "share";
  unknown.estimate = kNaN;
  unknown.verdict = "not measured";
  const std::string svg = interval_chart_svg({"C1: a claim", "", {measured, measured, unknown}});
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, ContainsSubstring("0.15 [0.05, 0.25], needs &gt; 0: supported"));
  CHECK_THAT(svg, ContainsSubstring("- no interval: not measured"));
  CHECK(count_of(svg, "class=\"threshold\"") == 2);
  CHECK(count_of(svg, "class=\"wanted\"") == 2);
  CHECK(count_of(svg, ">bits</text>") == 1);  // one axis for neighbours of the same unit
  CHECK(count_of(svg, ">share</text>") == 1);
  CHECK(count_of(svg, "nan") == 0);
}

TEST_CASE("words are broken into lines", "[report]") {
  CHECK(wrapped("one two three", 1000, 12) == std::vector<std::string>{"one two three"});
  CHECK(wrapped("one two three", 50, 12) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("", 50, 12).empty());
}
