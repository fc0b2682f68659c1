// The figures as SVG.
#include <array>
#include <cmath>
#include <cstdlib>
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

AxisRules rules(bool logarithmic, bool round_ends, size_t wanted_ticks) {
  return {logarithmic, round_ends, wanted_ticks};
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
  CHECK(tick_texts(Axis({0.03, 0.97}, rules(false, true, 5))) ==
        std::vector<std::string>{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(tick_texts(Axis({-1, 1}, rules(false, true, 4))) ==
        std::vector<std::string>{"-1.0", "-0.5", "0.0", "0.5", "1.0"});
  CHECK(tick_texts(Axis({0.002, 30}, rules(true, true, 5))) ==
        std::vector<std::string>{"0.001", "0.01", "0.1", "1", "10", "100"});
  const Axis axis({10, 20}, rules(false, false, 5));
  CHECK(axis.position(10) == Catch::Approx(0.0));
  CHECK(axis.position(17.5) == Catch::Approx(0.75));
  CHECK(std::isnan(Axis({1, 10}, rules(true, true, 5)).position(0.0)));
  // One value, none, and none that can be shown.
  CHECK(Axis({5, 5}, rules(false, true, 5)).position(5) == Catch::Approx(0.5).margin(0.26));
  CHECK_FALSE(Axis({}, rules(false, true, 5)).ticks().empty());
  CHECK_FALSE(Axis({kNaN, -1}, rules(true, true, 5)).ticks().empty());
}

TEST_CASE("axes keep to whole numbers and to what a quantity can be", "[report]") {
  AxisRules epochs = rules(false, false, 6);
  epochs.whole = true;
  CHECK(tick_texts(Axis({1, 3}, epochs)) == std::vector<std::string>{"1", "2", "3"});
  AxisRules share = rules(false, true, 5);
  share.least = 0;
  share.most = 1;
  CHECK(tick_texts(Axis({-0.15, 0.9}, share)).front() == "0.0");
  CHECK(tick_texts(Axis({0.2, 1.3}, share)).back() == "1.0");
  CHECK(Axis({0, 0}, share).position(0) == Catch::Approx(0.0));
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

TEST_CASE("a chart of points with bars", "[report]") {
  LineChart chart;
  chart.title = "By value";
  chart.x.label = "dimension";
  chart.y.label = "bits";
  chart.thresholds = {0.0};
  ChartSeries points;
  points.label = "mean";
  points.style = ChartSeries::Style::kPoints;
  points.x = {0, 10};
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

TEST_CASE("many curves stand in panels of their own", "[report]") {
  LineChart chart;
  chart.title = "Test accuracy";
  chart.x = {"epoch", false, true};
  chart.y = {"accuracy (%)", false, false, 0.0, 100.0};
  for (size_t i = 0; i < 6; ++i) {
    ChartSeries series = line_of("arm number " + std::to_string(i), {1, 2, 3, 4});
    series.colour = i;
    for (const double y : series.y) {
      series.low.push_back(y - 5);
      series.high.push_back(y + 5);
    }
    chart.series.push_back(series);
  }
  const std::string svg = panel_chart_svg(chart);
  CHECK(is_well_formed(svg));
  for (size_t i = 0; i < 6; ++i) {
    const std::string number = std::to_string(i);
    CHECK(count_of(svg, ">arm number " + number + "</text>") == 1);
    CHECK(count_of(svg, "class=\"series-" + number + "\"") == 1);
    CHECK(count_of(svg, "class=\"band-" + number + "\"") == 1);
  }
  CHECK(count_of(svg, "class=\"faint\"") == 6 * 5);
  CHECK(count_of(svg, ">1.5</text>") == 0);
  CHECK(count_of(svg, ">-") == 0);  // no number below 0
}

TEST_CASE("no two series look alike", "[report]") {
  std::vector<std::string> shapes;
  std::vector<std::array<int, 3>> colours;
  for (size_t series = 0; series < 6; ++series) {
    SvgCanvas canvas(10, 10, "", "");
    canvas.marker(0, 0, series, 3);
    const std::string svg = canvas.finish();
    const std::string mark = svg.substr(svg.rfind("<", svg.find("class=\"mark")));
    shapes.push_back(mark.substr(0, mark.find(" class")));
    const std::string code = series_colour(series).substr(1);
    colours.push_back({std::stoi(code.substr(0, 2), nullptr, 16),
                       std::stoi(code.substr(2, 2), nullptr, 16),
                       std::stoi(code.substr(4, 2), nullptr, 16)});
  }
  for (size_t a = 0; a < shapes.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      CAPTURE(a, b);
      CHECK(shapes[a] != shapes[b]);
      int apart = 0;
      for (size_t i = 0; i < 3; ++i) apart += std::abs(colours[a][i] - colours[b][i]);
      CHECK(apart > 90);  // of 765
    }
  }
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

namespace {

IntervalRow measured_row() {
  IntervalRow row;
  row.label = "separation index";
  row.unit = "bits";
  row.values = {0.1, 0.2, kNaN};
  row.estimate = 0.15;
  row.judged = {{0.05, 0.25}};
  row.bootstrap = {{0.1, 0.2}};
  row.threshold = 0.0;
  row.direction = ">";
  row.verdict = "supported";
  return row;
}

/// The numbers of an attribute's first occurrence after `from`: "12.5" of x="12.5".
double attribute_after(const std::string& svg, size_t from, const std::string& name) {
  const size_t at = svg.rfind(name + "=\"", from);
  return std::stod(svg.substr(at + name.size() + 2));
}

/// Width of the first shaded area.
double shaded_width(const std::string& svg) {
  return attribute_after(svg, svg.find("class=\"wanted\""), "width");
}

}  // namespace

TEST_CASE("intervals against thresholds", "[report]") {
  const IntervalRow measured = measured_row();
  IntervalRow unknown;
  unknown.label = "something else";
  unknown.unit = "share";
  unknown.estimate = kNaN;
  unknown.verdict = "not measured";
  const std::string svg = interval_chart_svg({"C1: a claim", "", {measured, measured, unknown}});
  CHECK(is_well_formed(svg));
  CHECK_THAT(svg, ContainsSubstring("0.15 [0.05, 0.25], needs &gt; 0: supported"));
  CHECK_THAT(svg, ContainsSubstring("- no interval: not measured"));
  CHECK(count_of(svg, "class=\"threshold\"") == 3);  // two rows and the legend
  CHECK(count_of(svg, "class=\"wanted\"") == 3);
  CHECK(count_of(svg, ">bits</text>") == 1);  // one axis for neighbours of the same unit
  CHECK(count_of(svg, ">share</text>") == 1);
  CHECK(count_of(svg, "nan") == 0);
}

TEST_CASE("the side that a claim needs is always seen", "[report]") {
  // All values on the other side: the axis would end at the threshold.
  IntervalRow row = measured_row();
  row.values = {-0.3, -0.2};
  row.estimate = -0.25;
  row.judged = row.bootstrap = {{-0.35, -0.15}};
  CHECK(shaded_width(interval_chart_svg({"C1", "", {row}})) > 20);
  row.threshold = -0.5;
  row.direction = "<=";
  CHECK(shaded_width(interval_chart_svg({"C1", "", {row}})) > 20);
  IntervalRow single;
  single.label = row.label;
  single.values = {single.estimate = -0.5};
  single.threshold = -0.5;
  single.direction = "<=";
  CHECK(shaded_width(interval_chart_svg({"C1", "", {single}})) > 20);
}

TEST_CASE("a share of seeds is counted and lies between 0 and 1", "[report]") {
  IntervalRow row;
  row.label = "the favourite changes";
  row.unit = "share of seeds";
  row.of_seeds = true;
  row.direction = ">";
  row.values = {0, 0, 1, 0, 0, 0};
  row.estimate = 1.0 / 6;
  row.judged = {{0.004, 0.64}};
  row.threshold = 0.5;
  const std::string svg = interval_chart_svg({"C5", "", {row}});
  CHECK_THAT(svg, ContainsSubstring("1 of 6 seeds [0.004, 0.64], needs &gt; 0.5"));
  CHECK_THAT(svg, ContainsSubstring(">0.0</text>"));
  CHECK_THAT(svg, ContainsSubstring(">1.0</text>"));
  CHECK(count_of(svg, ">1.2</text>") == 0);
  row.values = {1};
  row.estimate = 1;
  CHECK(estimate_in_words(row) == "1 of 1 seed");
}

TEST_CASE("bootstrap interval and seeds have a line each", "[report]") {
  const std::string svg = interval_chart_svg({"C1", "", {measured_row()}});
  const auto height_of = [&](const std::string& mark) {
    const size_t at = svg.rfind("d=\"M", svg.find(mark));
    return std::stod(svg.substr(svg.find(' ', at + 4) + 1));
  };
  const double bootstrap = height_of("stroke-dasharray=\"6 4\"");
  const double seeds = height_of("class=\"axis\"") + 4;
  CHECK(seeds - bootstrap > 8);
}

TEST_CASE("every arm of a chart by arm is named", "[report]") {
  IntervalChart chart;
  chart.title = "Separation index";
  const std::vector<std::string> arms = {"Baseline",   "Blind baseline",
                                         "CDSP",       "baseline-task-dropout",
                                         "cdsp-blind", "cdsp-no-conflict"};
  for (const std::string& arm : arms) {
    IntervalRow row = measured_row();
    row.label = arm;
    row.direction = row.verdict = "";
    chart.rows.push_back(row);
  }
  const std::string svg = interval_chart_svg(chart);
  CHECK(is_well_formed(svg));
  for (const std::string& arm : arms) CHECK(count_of(svg, ">" + arm + "</text>") == 1);
  CHECK(count_of(svg, "needs") == 0);
  CHECK(count_of(svg, "class=\"wanted\"") == 0);
  CHECK(count_of(svg, "class=\"threshold\"") == arms.size());
}

TEST_CASE("words are broken into lines", "[report]") {
  CHECK(wrapped("one two three", 1000, 12) == std::vector<std::string>{"one two three"});
  CHECK(wrapped("one two three", 50, 12) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("", 50, 12).empty());
}
