#include "eval/linear_probe.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/random.h"
#include "support/catch.h"

namespace {

using cdsp::linear_probe;
using cdsp::LinearProbeResult;

/// One task of 6x6 images. Class c is bright at the pixels p with p mod 4 == c, as far as `signal`
/// goes; `exclusive_or` hides the class in the parity of two pixels instead, where no linear model
/// finds it.
cdsp::Split made_up(int64_t count, double signal, bool exclusive_or, uint64_t index) {
  cdsp::RandomStream stream(1, cdsp::RandomPurpose::kTest, index);
  cdsp::Split split;
  split.rows = split.cols = 6;
  split.task_offsets = {0, count};
  for (int64_t i = 0; i < count; ++i) {
    const bool a = stream.below(2) == 1, b = stream.below(2) == 1;
    const int64_t label = exclusive_or ? (a != b ? 1 : 0) : static_cast<int64_t>(stream.below(4));
    split.labels.push_back(static_cast<uint8_t>(label));
    for (int64_t p = 0; p < 36; ++p) {
      double value = stream.uniform(0.0, 255.0);
      if (exclusive_or && p < 2) value = (p == 0 ? a : b) ? 255.0 : 0.0;
      if (!exclusive_or && p % 4 == label) value = (1.0 - signal) * value + signal * 255.0;
      split.pixels.push_back(static_cast<uint8_t>(value));
    }
  }
  return split;
}

cdsp::Dataset made_up_dataset(double signal, bool exclusive_or = false) {
  return {{"made-up"},
          made_up(2000, signal, exclusive_or, 0),
          made_up(1000, signal, exclusive_or, 1),
          ""};
}

}  // namespace

TEST_CASE("The linear probe solves what is linearly separable", "[eval][linear-probe]") {
  const LinearProbeResult result = linear_probe(made_up_dataset(0.8), 4, 20, 1);
  REQUIRE(result.test_accuracy.size() == 1);
  CHECK(result.test_accuracy[0] > 0.98);
  CHECK(result.train_accuracy[0] > 0.98);
}

TEST_CASE("The linear probe stays at chance where only an exclusive or tells the classes",
          "[eval][linear-probe]") {
  const LinearProbeResult result = linear_probe(made_up_dataset(0.0, true), 2, 20, 1);
  CHECK(result.test_accuracy[0] > 0.40);
  CHECK(result.test_accuracy[0] < 0.60);
}

TEST_CASE("The linear probe repeats itself exactly and takes its seed for the order of images",
          "[eval][linear-probe]") {
  const cdsp::Dataset dataset = made_up_dataset(0.3);
  const LinearProbeResult first = linear_probe(dataset, 4, 3, 1),
                          again = linear_probe(dataset, 4, 3, 1);
  CHECK(first.test_accuracy == again.test_accuracy);
  CHECK(first.train_accuracy == again.train_accuracy);
  bool differs = false;
  for (uint64_t seed = 2; seed < 6; ++seed)
    differs = differs || linear_probe(dataset, 4, 3, seed).train_accuracy != first.train_accuracy;
  CHECK(differs);
}

TEST_CASE("Each task gets a probe of its own", "[eval][linear-probe]") {
  cdsp::Config config;
  config.data.source = cdsp::DataSource::kGlyphs;
  config.data.glyphs_train = 300;
  config.data.glyphs_test = 100;
  config.data.tasks = {"strokes"};
  const double alone = linear_probe(cdsp::load_dataset(config), 10, 5, 7).test_accuracy[0];
  config.data.tasks = {"strokes", "objects"};
  const LinearProbeResult both = linear_probe(cdsp::load_dataset(config), 10, 5, 7);
  REQUIRE(both.test_accuracy.size() == 2);
  CHECK(both.test_accuracy[0] == alone);
}

TEST_CASE("The linear probe refuses senseless requests", "[eval][linear-probe]") {
  REQUIRE_THROWS_AS(linear_probe(made_up_dataset(0.5), 0, 5, 1), cdsp::InputError);
  REQUIRE_THROWS_AS(linear_probe(made_up_dataset(0.5), 4, 0, 1), cdsp::InputError);
  cdsp::Dataset empty = made_up_dataset(0.5);
  empty.test = cdsp::Split();
  empty.test.task_offsets = {0, 0};
  REQUIRE_THROWS_AS(linear_probe(empty, 4, 5, 1), cdsp::InputError);
}

TEST_CASE("A linear model learns each embedded task and solves none",
          "[eval][linear-probe][glyphs]") {
  cdsp::Config config;
  config.data.source = cdsp::DataSource::kGlyphs;
  config.data.tasks = {"strokes", "cursive", "objects"};
  const cdsp::Dataset dataset = cdsp::load_dataset(config);
  const LinearProbeResult result = linear_probe(dataset, 10, 20, 1);
  double mean = 0.0;
  for (size_t task = 0; task < 3; ++task) {
    INFO(dataset.task_names[task] << ": test " << result.test_accuracy[task] << ", train "
                                  << result.train_accuracy[task]);
    CHECK(result.test_accuracy[task] > 0.55);
    CHECK(result.test_accuracy[task] < 0.93);
    mean += result.test_accuracy[task] / 3.0;
  }
  CHECK(mean > 0.60);
  CHECK(mean < 0.90);
}

TEST_CASE("The linear probe reaches what is known for MNIST and Fashion-MNIST",
          "[eval][linear-probe][real]") {
  const char* folder = std::getenv("CDSP_DATA_DIR");
  if (folder == nullptr || !std::filesystem::is_directory(folder)) {
    WARN("SKIPPED: set CDSP_DATA_DIR to a folder with mnist and fashion-mnist to run this test");
    return;
  }
  cdsp::Config config;
  config.data.root = folder;
  config.data.tasks = {"mnist", "fashion-mnist"};
  config.data.limit_per_task = 10000;
  const LinearProbeResult result = linear_probe(cdsp::load_dataset(config), 10, 10, 1);
  CHECK(result.test_accuracy[0] > 0.905);
  CHECK(result.test_accuracy[0] < 0.935);
  CHECK(result.test_accuracy[1] > 0.82);
  CHECK(result.test_accuracy[1] < 0.86);
}
