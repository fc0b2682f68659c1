// Tables: numbers that read back exactly, rows that survive an interruption.
#include "base/csv.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/random.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

const CsvRow& header() {
  static const CsvRow row = CsvRow().add("step").add("loss");
  return row;
}

CsvRow row_of(int64_t step, double loss) { return CsvRow().add(step).add(loss); }

}  // namespace

TEST_CASE("a number reads back to exactly the same double") {
  using Limits = std::numeric_limits<double>;
  std::vector<double> values = {0.0,
                                -0.0,
                                0.1,
                                1.0 / 3.0,
                                1e-300,
                                Limits::max(),
                                Limits::min(),
                                Limits::denorm_min(),
                                Limits::epsilon(),
                                -123456.789,
                                1e22};
  RandomStream random(1, RandomPurpose::kTest);
  for (int i = 0; i < 1000; ++i)
    values.push_back(std::ldexp(random.normal(), static_cast<int>(random.below(600)) - 300));
  for (const double value : values) {
    const std::string text = csv_number(value);
    INFO(text);
    const double back = std::strtod(text.c_str(), nullptr);
    CHECK(back == value);
    CHECK(std::signbit(back) == std::signbit(value));
  }
}

TEST_CASE("a number is written as short as it can be") {
  CHECK(csv_number(0.1) == "0.1");
  CHECK(csv_number(3.0) == "3");
  CHECK(csv_number(-2.5) == "-2.5");
}

TEST_CASE("numbers that are none are written as pandas reads them") {
  CHECK(csv_number(std::nan("")) == "nan");
  CHECK(csv_number(HUGE_VAL) == "inf");
  CHECK(csv_number(-HUGE_VAL) == "-inf");
}

TEST_CASE("a row separates its cells by commas, and an absent value is an empty cell") {
  CsvRow row;
  row.add("name").add(int64_t{-3}).add(0.5).add(std::optional<double>());
  row.add(std::optional<double>(2.0)).add(std::vector<double>{1.0, 0.25}).add("");
  CHECK(row.text() == "name,-3,0.5,,2,1,0.25,");
  CHECK(CsvRow().add(std::optional<double>()).add(int64_t{1}).text() == ",1");
}

TEST_CASE("every row is in the file as soon as it is appended") {
  const TemporaryFolder folder;
  GrowingCsv csv(folder.path() / "t.csv", header());
  CHECK(read_file(folder.path() / "t.csv") == "step,loss\n");
  CHECK(csv.last_key() == 0);
  csv.append(row_of(1, 0.5));
  CHECK(read_file(folder.path() / "t.csv") == "step,loss\n1,0.5\n");
  csv.append(row_of(7, 0.25));
  CHECK(read_file(folder.path() / "t.csv") == "step,loss\n1,0.5\n7,0.25\n");
  CHECK(csv.last_key() == 7);
}

TEST_CASE("a fresh start forgets an older table") {
  const TemporaryFolder folder;
  const auto file = folder.write("t.csv", "other,columns\n1,2\n");
  const GrowingCsv csv(file, header());
  CHECK(read_file(file) == "step,loss\n");
  CHECK(csv.last_key() == 0);
}

TEST_CASE("resuming keeps the rows up to a step and goes on after them") {
  const TemporaryFolder folder;
  const auto file = folder.write("t.csv", "step,loss\n1,0.5\n2,0.25\n10,0.125\n11,nan\n");
  GrowingCsv csv(file, header(), 10);
  CHECK(read_file(file) == "step,loss\n1,0.5\n2,0.25\n10,0.125\n");
  CHECK(csv.last_key() == 10);
  csv.append(row_of(11, 2.0));
  CHECK(read_file(file) == "step,loss\n1,0.5\n2,0.25\n10,0.125\n11,2\n");
}

TEST_CASE("resuming drops a last row that was cut off") {
  const TemporaryFolder folder;
  for (const std::string cut : {"2,0.2", "2,", "2", "1", ",", "x,1"}) {
    INFO(cut);
    const auto file = folder.write("t.csv", "step,loss\n1,0.5\n" + cut);
    const GrowingCsv csv(file, header(), 100);
    CHECK(read_file(file) == "step,loss\n1,0.5\n");
    CHECK(csv.last_key() == 1);
  }
}

TEST_CASE("resuming without a file starts one") {
  const TemporaryFolder folder;
  const GrowingCsv csv(folder.path() / "t.csv", header(), 5);
  CHECK(read_file(folder.path() / "t.csv") == "step,loss\n");
}

TEST_CASE("resuming a table of other columns is refused and leaves it alone") {
  const TemporaryFolder folder;
  const auto file = folder.write("t.csv", "step,accuracy\n1,0.5\n");
  CHECK(message_of<InputError>([&] { GrowingCsv(file, header(), 5); }) ==
        file.string() + ": line 1: has other columns than this run writes");
  CHECK(read_file(file) == "step,accuracy\n1,0.5\n");
}

TEST_CASE("a table in a folder that is not there is reported") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(GrowingCsv(folder.path() / "missing" / "t.csv", header()), WorkError);
}
