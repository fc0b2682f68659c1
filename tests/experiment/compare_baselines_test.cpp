// Lists of seeds, and means over them.
#include "experiment/compare_baselines.h"

#include "base/error.h"
#include "support/catch.h"

namespace {

using namespace cdsp;

ComparedRun run_of(const std::string& variant, uint64_t seed, double accuracy) {
  ComparedRun run;
  run.variant = variant;
  run.seed = seed;
  run.test_accuracy = accuracy;
  return run;
}

}  // namespace

TEST_CASE("seeds are numbers and ranges", "[experiment]") {
  CHECK(parse_seeds("7") == std::vector<uint64_t>{7});
  CHECK(parse_seeds("3,0,5..7") == std::vector<uint64_t>{3, 0, 5, 6, 7});
  for (const char* text : {"", ",", "1,", ",1", "1..", "..2", "3..1", "-1", "1.5", "one", "1 2",
                           "0..100000000", "99999999999999999999", "1,0..2"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_seeds(text), InputError);
  }
}

TEST_CASE("spreads over seeds", "[experiment]") {
  const Spread one = spread_of({0.5});
  CHECK(one.mean == 0.5);
  CHECK_FALSE(one.std);
  const Spread three = spread_of({1.0, 2.0, 6.0});
  CHECK(three.mean == Catch::Approx(3.0));
  CHECK(*three.std == Catch::Approx(2.6457513110645906));
  CHECK(three.seeds == 3);
}

TEST_CASE("gaps pair the runs of a seed", "[experiment]") {
  Comparison comparison;
  comparison.runs = {run_of("baseline", 0, 0.9), run_of("baseline", 1, 0.5), run_of("cdsp", 0, 0.8),
                     run_of("cdsp", 1, 0.4)};
  const Spread gap = gap_to_baseline(comparison, "cdsp", &ComparedRun::test_accuracy);
  CHECK(gap.mean == Catch::Approx(-0.1));
  CHECK(*gap.std == Catch::Approx(0.0).margin(1e-12));
}
