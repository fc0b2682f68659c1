#include "data/labels.h"

#include <vector>

#include "base/error.h"
#include "support/catch.h"

namespace {

using cdsp::LabelScheme;

std::vector<uint8_t> mapped(LabelScheme scheme, const std::string& task,
                            std::vector<uint8_t> labels, int64_t classes = 10) {
  cdsp::apply_label_scheme(scheme, task, "labels-file", classes, labels.data(),
                           static_cast<int64_t>(labels.size()));
  return labels;
}

const std::vector<uint8_t> kAll = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

}  // namespace

TEST_CASE("Native labels stay as they are, for any task", "[data][labels]") {
  CHECK(mapped(LabelScheme::kNative, "mnist", kAll) == kAll);
  CHECK(mapped(LabelScheme::kNative, "anything", {0, 25}, 26) == std::vector<uint8_t>{0, 25});
}

TEST_CASE("Coarse labels are digit, parity and upper half", "[data][labels]") {
  CHECK(mapped(LabelScheme::kCoarse, "mnist", kAll) == kAll);
  CHECK(mapped(LabelScheme::kCoarse, "kmnist", kAll) ==
        std::vector<uint8_t>{0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(mapped(LabelScheme::kCoarse, "fashion-mnist", kAll) ==
        std::vector<uint8_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
}

TEST_CASE("Coarse labels of any other task are refused by the key's name", "[data][labels]") {
  REQUIRE_THROWS_AS(cdsp::check_label_scheme(LabelScheme::kCoarse, "strokes"), cdsp::InputError);
  REQUIRE_THROWS_WITH(
      cdsp::check_label_scheme(LabelScheme::kCoarse, "strokes"),
      "data.labels: found coarse with the task \"strokes\"; allowed: native, or only tasks "
      "that it is defined for (mnist, kmnist, fashion-mnist)");
  REQUIRE_NOTHROW(cdsp::check_label_scheme(LabelScheme::kNative, "strokes"));
}

TEST_CASE("A label beyond the classes is refused by file and item", "[data][labels]") {
  REQUIRE_THROWS_WITH(
      mapped(LabelScheme::kNative, "mnist", {0, 1, 10}),
      "labels-file: item 2 (counted from 0) has label 10; allowed: 0 to 9 (model.classes = 10)");
  REQUIRE_THROWS_WITH(
      mapped(LabelScheme::kNative, "mnist", {0, 5}, 5),
      "labels-file: item 1 (counted from 0) has label 5; allowed: 0 to 4 (model.classes = 5)");
  REQUIRE_THROWS_WITH(mapped(LabelScheme::kCoarse, "kmnist", {200}, 2),
                      "labels-file: item 0 (counted from 0) has label 200; allowed: 0 to 9");
  REQUIRE_THROWS_WITH(
      mapped(LabelScheme::kCoarse, "mnist", {0, 7}, 5),
      "labels-file: item 1 (counted from 0) has label 7; allowed: 0 to 4 (model.classes = 5)");
  CHECK(mapped(LabelScheme::kCoarse, "kmnist", {9, 8}, 2) == std::vector<uint8_t>{1, 0});
}
