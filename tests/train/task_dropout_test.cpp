// From whom the task is withheld in training.
#include "train/task_dropout.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.h"

using namespace cdsp;

namespace {

RouterConfig dropout(double rate, DropoutUnit unit) {
  RouterConfig config;
  config.task_dropout = rate;
  config.dropout_unit = unit;
  return config;
}

double share_of_zeros(const std::vector<double>& kept) {
  return static_cast<double>(std::count(kept.begin(), kept.end(), 0.0)) /
         static_cast<double>(kept.size());
}

}  // namespace

TEST_CASE("the task is withheld from that share of the images") {
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto kept = draw_task_kept(dropout(rate, DropoutUnit::kSample), 1, 1, 40000);
    CHECK(std::abs(share_of_zeros(kept) - rate) < 5 * std::sqrt(rate * (1.0 - rate) / 40000.0));
    const auto ones = std::count(kept.begin(), kept.end(), 1.0);
    CHECK(static_cast<double>(ones) / 40000.0 == Catch::Approx(1.0 - share_of_zeros(kept)));
  }
}

TEST_CASE("rate 0 withholds from nobody and rate 1 from all") {
  for (const DropoutUnit unit : {DropoutUnit::kSample, DropoutUnit::kBatch}) {
    for (int64_t step = 1; step <= 200; ++step) {
      REQUIRE(draw_task_kept(dropout(0.0, unit), 1, step, 7) == std::vector<double>(7, 1.0));
      REQUIRE(draw_task_kept(dropout(1.0, unit), 1, step, 7) == std::vector<double>(7, 0.0));
    }
  }
}

TEST_CASE("unit `batch` draws once for the whole batch, at the same rate over steps") {
  double withheld = 0.0;
  for (int64_t step = 1; step <= 4000; ++step) {
    const auto kept = draw_task_kept(dropout(0.3, DropoutUnit::kBatch), 2, step, 5);
    REQUIRE(std::equal(kept.begin() + 1, kept.end(), kept.begin()));
    withheld += (1.0 - kept[0]) / 4000.0;
  }
  CHECK(std::abs(withheld - 0.3) < 5 * std::sqrt(0.21 / 4000.0));
}

TEST_CASE("unit `sample` draws for every image by itself") {
  const auto kept = draw_task_kept(dropout(0.5, DropoutUnit::kSample), 3, 1, 20000);
  double changes = 0.0;
  for (size_t i = 1; i < kept.size(); ++i) changes += kept[i] == kept[i - 1] ? 0.0 : 1.0 / 19999.0;
  CHECK(std::abs(changes - 0.5) < 5 * std::sqrt(0.25 / 19999.0));
}

TEST_CASE("the choice depends on seed and step, and not on the batch size") {
  const RouterConfig config = dropout(0.5, DropoutUnit::kSample);
  const auto kept = draw_task_kept(config, 4, 10, 64);
  CHECK(draw_task_kept(config, 4, 10, 64) == kept);
  CHECK(draw_task_kept(config, 4, 11, 64) != kept);
  CHECK(draw_task_kept(config, 5, 10, 64) != kept);
  const auto fewer = draw_task_kept(config, 4, 10, 20);
  CHECK(std::equal(fewer.begin(), fewer.end(), kept.begin()));
}

TEST_CASE("who is spared at a lower rate is spared by the same draw") {
  const auto rare = draw_task_kept(dropout(0.1, DropoutUnit::kSample), 6, 3, 1000);
  const auto often = draw_task_kept(dropout(0.4, DropoutUnit::kSample), 6, 3, 1000);
  for (size_t i = 0; i < rare.size(); ++i) REQUIRE(often[i] <= rare[i]);
  CHECK(share_of_zeros(rare) < share_of_zeros(often));
}
