// The public data sets themselves, where CDSP_DATA_DIR names a folder that holds them.
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>

#include "data/dataset.h"
#include "data/verify.h"
#include "support/catch.h"

namespace {

/// The folder, or empty after saying that the test is skipped.
std::filesystem::path data_folder() {
  const char* folder = std::getenv("CDSP_DATA_DIR");
  if (folder != nullptr && std::filesystem::is_directory(folder)) return folder;
  WARN(
      "SKIPPED: set CDSP_DATA_DIR to a folder with mnist, kmnist and fashion-mnist to run this "
      "test");
  return {};
}

}  // namespace

TEST_CASE("The public data sets verify without a problem", "[data][real]") {
  const auto folder = data_folder();
  if (folder.empty()) return;
  for (const cdsp::TaskReport& report :
       cdsp::verify_data(folder, {"mnist", "kmnist", "fashion-mnist"})) {
    INFO(report.task);
    CHECK(report.problems.empty());
    REQUIRE(report.splits.size() == 2);
    for (const cdsp::SplitReport& split : report.splits) {
      CHECK(split.class_counts.size() == 10);
      CHECK(std::accumulate(split.class_counts.begin(), split.class_counts.end(), int64_t{0}) ==
            split.labels.shape[0]);
      CHECK(split.images.shape[1] == 28);
      CHECK(split.images.shape[2] == 28);
      // The published content: a file with all its items must have it.
      if (split.images.shape[0] == split.images.original_items) {
        CHECK((split.images.origin == cdsp::FileOrigin::kOriginal ||
               split.images.origin == cdsp::FileOrigin::kRepacked));
        CHECK((split.labels.origin == cdsp::FileOrigin::kOriginal ||
               split.labels.origin == cdsp::FileOrigin::kRepacked));
      }
    }
  }
}

TEST_CASE("The public data sets load with native and with coarse labels", "[data][real]") {
  const auto folder = data_folder();
  if (folder.empty()) return;
  cdsp::Config config;
  config.data.root = folder;
  config.data.limit_per_task = 1000;
  const cdsp::Dataset native = cdsp::load_dataset(config);
  CHECK(native.train.task_offsets == std::vector<int64_t>{0, 1000, 2000, 3000});
  CHECK(native.test.task_offsets == std::vector<int64_t>{0, 10000, 20000, 30000});
  config.data.labels = cdsp::LabelScheme::kCoarse;
  const cdsp::Dataset coarse = cdsp::load_dataset(config);
  CHECK(coarse.fingerprint != native.fingerprint);
  for (size_t i = 0; i < 30000; ++i) {
    const int label = native.test.labels[i];
    const int expected = i < 10000 ? label : i < 20000 ? label % 2 : label >= 5 ? 1 : 0;
    REQUIRE(coarse.test.labels[i] == expected);
  }
}
