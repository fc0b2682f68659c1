// Statistics over seeds: against published intervals, and by simulation.
#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "support/catch.h"

using namespace cdsp;
using Catch::Approx;

namespace {

/// Extra hours of sleep under one drug less those under the other, ten patients (Student, "The
/// probable error of a mean", 1908).
const std::vector<double> kSleep = {1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4};

using IntervalOf = std::optional<Interval> (*)(const std::vector<double>&);

std::optional<Interval> student(const std::vector<double>& values) {
  return student_t_interval(values);
}
std::optional<Interval> bootstrap(const std::vector<double>& values) {
  return bootstrap_interval(values);
}

/// Share of samples of standard normal values whose interval holds the true mean, 0.
double coverage(IntervalOf interval_of, int repetitions, size_t seeds) {
  RandomStream random(7, RandomPurpose::kTest);
  int hits = 0;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    std::vector<double> values(seeds);
    for (double& value : values) value = random.normal();
    const auto interval = interval_of(values);
    if (interval->low <= 0.0 && 0.0 <= interval->high) ++hits;
  }
  return static_cast<double>(hits) / repetitions;
}

}  // namespace

TEST_CASE("mean, deviation and Student's interval of Student's own data") {
  CHECK(sample_mean(kSleep) == Approx(1.58));
  CHECK(*sample_standard_deviation(kSleep) == Approx(1.229995));
  const auto interval = student_t_interval(kSleep);
  REQUIRE(interval);
  CHECK(interval->low == Approx(0.7001142).epsilon(1e-6));
  CHECK(interval->high == Approx(2.4598858).epsilon(1e-6));
}

TEST_CASE("Student's interval uses the tabled quantiles") {
  // t(0.975; 1) = 12.7062, t(0.975; 4) = 2.77645, t(0.995; 4) = 4.60409
  CHECK(student_t_interval({-1.0, 1.0})->high == Approx(12.7062).epsilon(1e-5));
  const double error = std::sqrt(2.5 / 5.0);
  CHECK(student_t_interval({1, 2, 3, 4, 5})->low == Approx(3.0 - 2.77645 * error).epsilon(1e-5));
  CHECK(student_t_interval({1, 2, 3, 4, 5}, 0.99)->high ==
        Approx(3.0 + 4.60409 * error).epsilon(1e-5));
}

TEST_CASE("one value has no spread and no interval, none has no mean") {
  CHECK(sample_mean({0.25}) == 0.25);
  CHECK_FALSE(sample_standard_deviation({0.25}));
  CHECK_FALSE(student_t_interval({0.25}));
  CHECK_FALSE(bootstrap_interval({0.25}));
  CHECK_FALSE(clopper_pearson_interval(1, 1));
  CHECK(std::isnan(sample_mean({})));
  CHECK_FALSE(student_t_interval({}));
}

TEST_CASE("equal values give a point, without rounding") {
  const std::vector<double> equal(3, 0.1);
  for (const auto& interval : {student_t_interval(equal), bootstrap_interval(equal)}) {
    REQUIRE(interval);
    CHECK(interval->low == 0.1);
    CHECK(interval->high == 0.1);
  }
}

TEST_CASE("the bootstrap is the same every time, and another with another stream") {
  const std::vector<double> values = {0.1234, 0.5678, 0.2345, 0.9123, 0.4567, 0.3141, 0.2718};
  const auto first = bootstrap_interval(values), again = bootstrap_interval(values);
  CHECK(first->low == again->low);
  CHECK(first->high == again->high);
  const auto other = bootstrap_interval(values, 1);
  CHECK((other->low != first->low || other->high != first->high));
  CHECK(other->low == Approx(first->low).margin(0.02));
  CHECK(other->high == Approx(first->high).margin(0.02));
}

TEST_CASE("of two values the bootstrap has the percentiles, the values themselves") {
  const auto interval = bootstrap_interval({2.0, 5.0});
  CHECK(interval->low == 2.0);
  CHECK(interval->high == 5.0);
}

TEST_CASE("the bootstrap moves with scale and place, and leans to the long tail") {
  const auto interval = bootstrap_interval(kSleep);
  std::vector<double> moved;
  for (const double value : kSleep) moved.push_back(10.0 - 4.0 * value);
  const auto mirrored = bootstrap_interval(moved);
  CHECK(mirrored->low == Approx(10.0 - 4.0 * interval->high).margin(0.15));
  CHECK(mirrored->high == Approx(10.0 - 4.0 * interval->low).margin(0.15));
  // One patient gained 4.6 hours: more room above the mean than below it.
  CHECK(interval->high - 1.58 > 1.3 * (1.58 - interval->low));
}

TEST_CASE("Clopper and Pearson's interval at tabled places") {
  const auto interval = clopper_pearson_interval(7, 20);
  CHECK(interval->low == Approx(0.1539092).epsilon(1e-6));
  CHECK(interval->high == Approx(0.5921885).epsilon(1e-6));
  CHECK(clopper_pearson_interval(5, 5)->low == Approx(0.4781762).epsilon(1e-6));
  CHECK(clopper_pearson_interval(5, 5)->high == 1.0);
  CHECK(clopper_pearson_interval(0, 10)->low == 0.0);
  CHECK(clopper_pearson_interval(0, 10)->high == Approx(0.3084971).epsilon(1e-6));
}

TEST_CASE("95 % intervals hold the mean about as often as they say") {
  CHECK(coverage(student, 4000, 5) == Approx(0.95).margin(0.012));
  // The bootstrap is honest for many values and too narrow for five.
  CHECK(coverage(bootstrap, 400, 20) == Approx(0.93).margin(0.035));
  const double few = coverage(bootstrap, 400, 5);
  CHECK(few < 0.92);
  CHECK(few > 0.75);
}

TEST_CASE("differences pair by seed, whatever the order") {
  const std::vector<SeedValue> a = {{3, 1.0}, {1, 5.0}, {4, 9.0}},
                               b = {{1, 2.0}, {3, 0.5}, {7, 1.0}};
  const auto differences = paired_differences(a, b);
  REQUIRE(differences.size() == 2);
  CHECK(differences[0].seed == 3);
  CHECK(differences[0].value == 0.5);
  CHECK(differences[1].seed == 1);
  CHECK(differences[1].value == 3.0);
  CHECK(values_of(differences) == std::vector<double>{0.5, 3.0});
}
