// Measures of routing tables, on tables small enough to reckon by hand, and on the published ones.
#include "eval/routing_measures.h"

#include <cmath>
#include <vector>

#include "support/catch.h"

using namespace cdsp;
using Catch::Approx;

namespace {

/// Layer-0 routing as published, rows T0 T1 T2, rounded to two digits.
const RoutingRows kBaselineInformed = {{.00, .00, .02, .13, .45, .10, .29, .00},
                                       {.01, .01, .03, .17, .21, .19, .38, .01},
                                       {.10, .01, .50, .05, .16, .12, .05, .02}};
const RoutingRows kBlindBaseline = {{.24, .02, .05, .00, .01, .21, .28, .19},
                                    {.24, .02, .03, .01, .02, .17, .29, .22},
                                    {.34, .01, .03, .00, .01, .10, .20, .31}};
const RoutingRows kCdspInformed = {{.35, .00, .05, .07, .02, .50, .01, .01},
                                   {.49, .01, .06, .01, .04, .33, .01, .07},
                                   {.19, .00, .19, .01, .05, .05, .03, .47}};
const RoutingRows kCdspBlind = {{.38, .00, .04, .00, .04, .43, .00, .12},
                                {.34, .00, .04, .00, .05, .35, .00, .21},
                                {.38, .00, .04, .00, .03, .21, .00, .34}};

}  // namespace

TEST_CASE("Jensen-Shannon is 0 bits for equal rows and 1 bit for rows that share nothing") {
  CHECK(jensen_shannon({0.5, 0.5, 0.0}, {0.5, 0.5, 0.0}) == 0.0);
  CHECK(jensen_shannon({1.0, 0.0}, {0.0, 1.0}) == 1.0);
  CHECK(jensen_shannon({0.3, 0.7, 0.0}, {0.0, 0.0, 1.0}) == Approx(1.0));
}

TEST_CASE("Jensen-Shannon in between, by hand") {
  // Middle (3/4, 1/4): half of log2(4/3), half of (1/2 log2(2/3) + 1/2 log2 2).
  const double expected = 0.5 * std::log2(4.0 / 3.0) + 0.25 * std::log2(2.0 / 3.0) + 0.25;
  CHECK(jensen_shannon({1.0, 0.0}, {0.5, 0.5}) == Approx(expected));
  CHECK(jensen_shannon({0.5, 0.5}, {1.0, 0.0}) == Approx(expected));
}

TEST_CASE("total variation is half the sum of the differences") {
  CHECK(total_variation({0.2, 0.3, 0.5}, {0.2, 0.3, 0.5}) == 0.0);
  CHECK(total_variation({1.0, 0.0}, {0.0, 1.0}) == 1.0);
  CHECK(total_variation({0.6, 0.4, 0.0}, {0.1, 0.5, 0.4}) == Approx(0.5));
}

TEST_CASE(
    "the published tables have the total variation between T0 and T2 that was noted of them") {
  CHECK(total_variation(kCdspBlind[0], kCdspBlind[2]) == Approx(0.23).margin(0.0051));
  CHECK(total_variation(kBlindBaseline[0], kBlindBaseline[2]) == Approx(0.22).margin(0.0051));
}

TEST_CASE("Pearson is 1 along a line, -1 against it, and by hand in between") {
  CHECK(pearson({1.0, 2.0, 4.0}, {3.0, 5.0, 9.0}) == Approx(1.0));
  CHECK(pearson({1.0, 2.0, 4.0}, {-1.0, -2.0, -4.0}) == Approx(-1.0));
  // Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
  CHECK(pearson({0.0, 1.0, 2.0}, {0.0, 2.0, 1.0}) == Approx(0.5));
  CHECK(pearson({0.0, 1.0, 0.0, 1.0}, {0.0, 0.0, 1.0, 1.0}) == Approx(0.0).margin(1e-15));
}

TEST_CASE("Pearson with a constant row is not defined") {
  CHECK(std::isnan(pearson({0.25, 0.25, 0.25, 0.25}, {0.1, 0.2, 0.3, 0.4})));
  CHECK(std::isnan(pearson({0.1, 0.2, 0.3, 0.4}, {0.25, 0.25, 0.25, 0.25})));
}

TEST_CASE(
    "the separation index is 1 where the symbol tasks share an expert and the objects have "
    "another") {
  CHECK(separation_index({{1.0, 0.0}, {1.0, 0.0}, {0.0, 1.0}}) == Approx(1.0));
  CHECK(separation_index({{1.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}}) ==
        Approx(0.5 * 0.0 + 0.5 * 1.0 - 1.0));
  CHECK(separation_index({{0.5, 0.5}, {0.5, 0.5}, {0.5, 0.5}}) == 0.0);
}

TEST_CASE("the separation index is half of JS(0,2) + JS(1,2), less JS(0,1)") {
  const RoutingRows& p = kCdspInformed;
  const double expected =
      0.5 * (jensen_shannon(p[0], p[2]) + jensen_shannon(p[1], p[2])) - jensen_shannon(p[0], p[1]);
  CHECK(separation_index(p) == Approx(expected));
  CHECK(separation_index(p) > 0.0);
}

TEST_CASE("the separation index needs three tasks") {
  CHECK(std::isnan(separation_index({{1.0, 0.0}, {0.0, 1.0}})));
  CHECK(std::isnan(separation_index(RoutingRows(4, {0.5, 0.5}))));
}

TEST_CASE(
    "normalised mutual information is 0 where all route alike and 1 where the expert tells the "
    "task") {
  CHECK(normalised_mutual_information({{0.3, 0.7}, {0.3, 0.7}, {0.3, 0.7}}) ==
        Approx(0.0).margin(1e-15));
  CHECK(normalised_mutual_information({{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}) ==
        Approx(1.0));
  CHECK(normalised_mutual_information({{0.5, 0.5, 0.0, 0.0}, {0.0, 0.0, 0.2, 0.8}}) == Approx(1.0));
  CHECK(std::isnan(normalised_mutual_information({{0.5, 0.5}})));
}

TEST_CASE("normalised mutual information in between, by hand") {
  // Tasks (1, 0) and (1/2, 1/2): load (3/4, 1/4); I is their Jensen-Shannon divergence, H(task) 1
  // bit.
  CHECK(normalised_mutual_information({{1.0, 0.0}, {0.5, 0.5}}) ==
        Approx(jensen_shannon({1.0, 0.0}, {0.5, 0.5})));
}

TEST_CASE(
    "an expert's task entropy is 0 where one task alone uses it and log2 of the tasks where all "
    "do") {
  const auto entropy =
      task_entropy_of_experts({{0.5, 0.5, 0.0, 0.0}, {0.0, 0.5, 0.5, 0.0}, {0.0, 0.5, 0.5, 0.0}});
  REQUIRE(entropy.size() == 4);
  CHECK(entropy[0] == 0.0);
  CHECK(entropy[1] == Approx(std::log2(3.0)));
  CHECK(entropy[2] == Approx(1.0));
  CHECK(std::isnan(entropy[3]));
}

TEST_CASE("an expert's task entropy by hand where tasks use it unequally") {
  // Shares 3/4 and 1/4 of one expert: tasks at 3:1.
  const auto entropy = task_entropy_of_experts({{0.75, 0.25}, {0.25, 0.75}});
  const double expected = -(0.75 * std::log2(0.75) + 0.25 * std::log2(0.25));
  CHECK(entropy[0] == Approx(expected));
  CHECK(entropy[1] == Approx(expected));
}

TEST_CASE("mutual information is the tasks' entropy less what the experts leave open") {
  const auto entropy = task_entropy_of_experts(kBaselineInformed);
  double left_open = 0.0, load_sum = 0.0;
  for (size_t e = 0; e < entropy.size(); ++e) {
    double load = 0.0;
    for (const auto& row : kBaselineInformed) load += row[e] / 3.0;
    left_open += load == 0.0 ? 0.0 : load * entropy[e];
    load_sum += load;
  }
  // The published rows sum to 1 but for their rounding.
  const double expected = 1.0 - left_open / load_sum / std::log2(3.0);
  CHECK(normalised_mutual_information(kBaselineInformed) == Approx(expected).margin(0.01));
}

TEST_CASE("the preferred expert is the most selected, the lowest among equals") {
  CHECK(preferred_experts(kCdspInformed) == std::vector<size_t>{5, 0, 7});
  CHECK(preferred_experts(kBaselineInformed) == std::vector<size_t>{4, 6, 2});
  CHECK(preferred_experts({{0.2, 0.4, 0.4}}) == std::vector<size_t>{1});
}

TEST_CASE("load cv2 is 0 where every expert works as much and N - 1 where one does all") {
  CHECK(load_cv2({{0.25, 0.25, 0.25, 0.25}}) == 0.0);
  CHECK(load_cv2({{1.0, 0.0}, {0.0, 1.0}}) == 0.0);  // each task on one expert: the load is even
  CHECK(load_cv2({{1.0, 0.0, 0.0, 0.0}}) == Approx(3.0));
  // Loads 3/4 and 1/4: standard deviation 1/4, mean 1/2.
  CHECK(load_cv2({{0.75, 0.25}}) == Approx(0.25));
}
