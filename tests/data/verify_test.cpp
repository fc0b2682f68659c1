#include "data/verify.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "support/catch.h"
#include "support/idx_files.h"
#include "support/temp_dir.h"

namespace {

using cdsp::FileOrigin;
using cdsp::verify_data;
using cdsp::test::gzip_bytes;
using cdsp::test::idx_bytes;
using cdsp::test::TemporaryFolder;
using cdsp::test::write_idx_task;

}  // namespace

TEST_CASE("Verifying reports counts, shapes and classes of every task found", "[data][verify]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mnist");
  write_idx_task(folder.path() / "another");
  folder.write("notes/readme.txt", "not data");
  const auto reports = verify_data(folder.path(), {});
  REQUIRE(reports.size() == 2);
  CHECK(reports[0].task == "another");
  CHECK(reports[1].task == "mnist");
  for (const cdsp::TaskReport& report : reports) {
    CHECK(report.problems.empty());
    REQUIRE(report.splits.size() == 2);
    CHECK(report.splits[0].split == "train");
    CHECK(report.splits[0].images.shape == std::vector<int64_t>{40, 28, 28});
    CHECK(report.splits[1].labels.shape == std::vector<int64_t>{20});
    CHECK(report.splits[0].class_counts == std::vector<int64_t>(10, 4));
  }
  CHECK(reports[0].splits[0].images.origin == FileOrigin::kUnknown);
  CHECK(reports[1].splits[0].images.origin == FileOrigin::kOther);
  CHECK(reports[1].splits[0].images.original_items == 60000);
}

TEST_CASE("Damaged files become problems of their task and do not hide the others",
          "[data][verify]") {
  const TemporaryFolder folder;
  for (const char* task : {"a", "b", "c", "d"}) write_idx_task(folder.path() / task);
  folder.write("a/train-images-idx3-ubyte.gz",
               gzip_bytes(idx_bytes({40, 28, 28}, std::vector<uint8_t>(100))));
  folder.write("b/t10k-labels-idx1-ubyte.gz",
               gzip_bytes(idx_bytes({19}, std::vector<uint8_t>(19))));
  std::filesystem::remove(folder.path() / "c/train-labels-idx1-ubyte.gz");
  const auto reports = verify_data(folder.path(), {"a", "b", "c", "d", "e"});
  REQUIRE(reports.size() == 5);
  REQUIRE(reports[0].problems.size() == 1);
  CHECK_THAT(reports[0].problems[0],
             Catch::Matchers::ContainsSubstring("a/train-images-idx3-ubyte.gz: is truncated"));
  CHECK(reports[0].splits.size() == 1);
  REQUIRE(reports[1].problems.size() == 1);
  CHECK_THAT(reports[1].problems[0], Catch::Matchers::ContainsSubstring("holds 20 images") &&
                                         Catch::Matchers::ContainsSubstring("holds 19 labels"));
  REQUIRE(reports[2].problems.size() == 1);
  CHECK_THAT(reports[2].problems[0],
             Catch::Matchers::ContainsSubstring("c/train-labels-idx1-ubyte: no such file"));
  CHECK(reports[3].problems.empty());
  CHECK(reports[4].problems.size() == 2);
}

TEST_CASE(
    "Images of two sizes in one task are a problem, and so is an eleventh class of a public data "
    "set",
    "[data][verify]") {
  const TemporaryFolder folder;
  write_idx_task(folder.path() / "mnist");
  cdsp::test::write_idx_split(folder.path() / "mnist", "t10k", std::vector<uint8_t>(64), {10}, 8,
                              8);
  const auto reports = verify_data(folder.path(), {});
  REQUIRE(reports[0].problems.size() == 2);
  CHECK_THAT(reports[0].problems[0],
             Catch::Matchers::ContainsSubstring("has label 10; allowed: 0 to 9"));
  CHECK_THAT(reports[0].problems[1], Catch::Matchers::ContainsSubstring("differ in size"));
}

TEST_CASE("A root without data is refused", "[data][verify]") {
  const TemporaryFolder folder;
  REQUIRE_THROWS_AS(verify_data(folder.path(), {}), cdsp::InputError);
  REQUIRE_THROWS_AS(verify_data(folder.path() / "gone", {"mnist"}), cdsp::InputError);
}
