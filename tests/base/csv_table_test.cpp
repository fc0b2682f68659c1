// Reading tables back.
#include "base/csv_table.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

std::string complaint(const TemporaryFolder& folder, const std::string& content,
                      const std::string& column) {
  const auto path = folder.write("table.csv", content);
  return message_of<InputError>([&] { CsvTable(path).numbers(column); });
}

}  // namespace

TEST_CASE("a table's columns are read back", "[base]") {
  const TemporaryFolder folder;
  const CsvTable table(folder.write("table.csv", "step,name,loss\n1,a,0.5\n2,b,\n3,c,nan\n4,d,1."));
  REQUIRE(table.rows() == 3);  // the last line may still be on its way
  CHECK(table.columns() == std::vector<std::string>{"step", "name", "loss"});
  CHECK(table.numbers("step") == std::vector<double>{1, 2, 3});
  CHECK(table.text(1, 1) == "b");
  const auto losses = table.numbers("loss");
  CHECK(losses[0] == 0.5);
  CHECK(std::isnan(losses[1]));
  CHECK(std::isnan(losses[2]));
  CHECK_FALSE(table.find("accuracy"));
}

TEST_CASE("a broken table is named with its line", "[base]") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint(folder, "", "a"), ContainsSubstring("table.csv: is empty"));
  CHECK_THAT(complaint(folder, "a,b\n1,2\n3\n", "a"),
             ContainsSubstring("table.csv:3: has 1 cells, the heading has 2"));
  CHECK_THAT(complaint(folder, "a,b\n1,x2\n", "b"),
             ContainsSubstring("table.csv:2: column 'b' holds 'x2'"));
  CHECK_THAT(complaint(folder, "a,b\n1,2\n", "c"), ContainsSubstring("no column 'c'"));
}
