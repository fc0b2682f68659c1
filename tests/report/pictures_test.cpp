// Colours, tables and heatmaps.
#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "report/colour_scale.h"
#include "report/comparison_table.h"
#include "report/routing_heatmap_svg.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"
#include "report/well_formed.h"
#include "support/catch.h"

namespace {

using namespace cdsp;
using Catch::Matchers::ContainsSubstring;
using cdsp::test::is_well_formed;

const RoutingRows kShares = {{0.5, 0.25, 0.25}, {0.0, 0.1, 0.9}};

Comparison small_comparison(const std::vector<uint64_t>& seeds) {
  Comparison comparison;
  comparison.tasks = {"one", "two"};
  comparison.train_images = {10, 30};
  comparison.test_images = {10, 30};
  comparison.linear = {{0.5, 0.9}, {0.6, 1.0}};
  comparison.labels = "native";
  comparison.seeds = seeds;
  double accuracy = 0.9;
  for (const char* variant : {"baseline", "blind", "cdsp"}) {
    comparison.arms.push_back({variant, variant, {}, 1850, 10, 128});
    for (const uint64_t seed : seeds) {
      ComparedRun run;
      run.arm = run.variant = variant;
      run.seed = seed;
      run.measures.set("test_accuracy", accuracy -= 0.01);
      run.measures.set("train_accuracy", accuracy);
      run.measures.set("separation_index",
                       std::numeric_limits<double>::quiet_NaN());  // not three tasks
      run.task_train_accuracy = run.task_test_accuracy = run.task_blind_accuracy = {0.5, 0.25};
      run.informed_routing = run.blind_routing = {kShares};
      comparison.runs.push_back(run);
    }
  }
  add_gaps_to_baseline(comparison.runs);
  return comparison;
}

}  // namespace

TEST_CASE("viridis grows lighter from end to end", "[report]") {
  CHECK(hex_code(viridis(0.0)) == "#440154");
  CHECK(hex_code(viridis(0.5)) == "#21908c");
  CHECK(hex_code(viridis(1.0)) == "#fde725");
  CHECK(hex_code(viridis(-1.0)) == "#440154");
  CHECK(hex_code(viridis(2.0)) == "#fde725");
  CHECK(hex_code(viridis(std::nan(""))) == "#440154");
  double before = -1.0;
  for (int step = 0; step <= 100; ++step) {
    const Colour colour = viridis(step / 100.0);
    const double lightness = 0.299 * colour.red + 0.587 * colour.green + 0.114 * colour.blue;
    CHECK(lightness > before);
    before = lightness;
  }
  CHECK(needs_white_text(viridis(0.0)));
  CHECK_FALSE(needs_white_text(viridis(1.0)));
}

TEST_CASE("terminals take the nearest of their colours", "[report]") {
  CHECK(terminal_colour({0, 0, 0}) == 16);
  CHECK(terminal_colour({255, 255, 255}) == 231);
  CHECK(terminal_colour({95, 135, 175}) == 16 + 36 + 12 + 3);
}

TEST_CASE("tables line up", "[report]") {
  TextTable table({"name", "a ± b", "n"});
  table.add_row({"x", "1 ± 2", "10"});
  table.add_row({"longer", "-", "7"});
  CHECK(table.text() ==
        "name    a ± b   n\n"
        "------  -----  --\n"
        "x       1 ± 2  10\n"
        "longer      -   7\n");
  CHECK(table.markdown() ==
        "| name | a ± b | n |\n"
        "|:--|--:|--:|\n"
        "| x | 1 ± 2 | 10 |\n"
        "| longer | - | 7 |\n");
  CHECK(fixed_number(1.25, 1) == "1.2");
  CHECK(fixed_number(std::nan(""), 1) == "-");
  CHECK(per_cent(0.9454) == "94.54");
}

TEST_CASE("a heatmap for the terminal", "[report]") {
  const std::vector<std::string> tasks = {"a", "long"};
  CHECK(terminal_heatmap(kShares, tasks, 1.0, {false, false, false}) ==
        "        E0    E1    E2\n"
        "a     0.50+ 0.25. 0.25.\n"
        "long  0.00  0.10  0.90#\n");
  CHECK_THAT(terminal_heatmap(kShares, tasks, 1.0, {false, false, true}),
             ContainsSubstring("0.90█"));
  const std::string coloured = terminal_heatmap(kShares, tasks, 1.0, {true, true, true});
  CHECK_THAT(coloured, ContainsSubstring("\x1b[48;5;"));
  CHECK_THAT(coloured, ContainsSubstring(" 0.90 "));
}

TEST_CASE("a heatmap of more experts than a line of the terminal holds goes on below", "[report]") {
  const std::vector<std::string> tasks = {"a", "long"};
  const Terminal terminal{false, false, false, 5 + 2 * 6};
  CHECK(terminal_heatmap(kShares, tasks, 1.0, terminal) ==
        "        E0    E1\n"
        "a     0.50+ 0.25.\n"
        "long  0.00  0.10\n"
        "        E2\n"
        "a     0.25.\n"
        "long  0.90#\n");
  CHECK_THAT(terminal_heatmap(kShares, tasks, 1.0, {false, false, false, 1}),
             ContainsSubstring("        E1\na     0.25.\nlong  0.10\n        E2\n"));
  const RoutingRows many = {std::vector<double>(128, 0.25)};
  CHECK_THAT(terminal_heatmap(many, {"a"}, 1.0, {}),
             ContainsSubstring("   E9    E10   E11 ") && ContainsSubstring("   E99  E100  E101"));
}

TEST_CASE("a heatmap as a picture", "[report]") {
  HeatmapPicture picture;
  picture.title = "Tasks & <experts>";
  picture.subtitle = "Layer 0";
  picture.tasks = {"a\"b", "second"};
  picture.panels = {{"left", kShares}, {"right", kShares}, {"below", kShares}};
  const std::string svg = routing_heatmap_svg(picture);
  CHECK(is_well_formed(svg));
  for (const char* part : {"<title>Tasks &amp; &lt;experts&gt;</title>", "role=\"img\"",
                           "aria-label=", "<desc>", "a&quot;b", ">0.90</text>", ">E2</text>",
                           "rows sum to 1", "second selects expert 2 most (90 %)"}) {
    CHECK_THAT(svg, ContainsSubstring(part));
  }
  // Nothing is fetched, nothing is run.
  CHECK_FALSE(std::regex_search(svg, std::regex("href|url\\(|<script|<image|@import")));
}

TEST_CASE("the comparison's tables", "[report]") {
  const std::string one = comparison_text(small_comparison({4}));
  CHECK_THAT(one, ContainsSubstring("seed 4;"));
  CHECK_THAT(one, ContainsSubstring("linear softmax"));
  CHECK_THAT(one, ContainsSubstring("-1.00"));  // the gap of variant blind
  CHECK(one.find("±") == std::string::npos);
  CHECK(one.find("nan") == std::string::npos);
  CHECK(one.find("Published:") == std::string::npos);  // other tasks than the paper's
  // The yardstick is weighted by images, (0.5 * 10 + 0.9 * 30) / 40; its training accuracy is of
  // another kind than the arms': it stands by task only.
  CHECK_THAT(one,
             Catch::Matchers::Matches(R"((.|\n)*linear softmax +- +- +- +- +- +80\.00(.|\n)*)"));
  CHECK_THAT(one, ContainsSubstring("linear softmax, train, final weights"));
  CHECK_THAT(one, ContainsSubstring("native labels; optimiser steps of a run: 1,850; epochs: 10"));
  const std::string three = comparison_markdown(small_comparison({0, 1, 2}));
  CHECK_THAT(three, ContainsSubstring("88.00 ± 1.00 | [85.52, 90.48]"));
  CHECK_THAT(three,
             ContainsSubstring("| -3.00 ± 0.00 | [-3.00, -3.00] |"));  // of training accuracy
  CHECK_THAT(three, ContainsSubstring("seeds 0, 1, 2"));
  CHECK_THAT(three, ContainsSubstring("routing.svg"));
  CHECK(comparison_heatmaps(small_comparison({0, 1})).panels.size() == 6);  // one seed
}
