// JSON of paths that are no text.
#include "base/json_text.h"

#include <nlohmann/json.hpp>

#include "support/catch.h"

using namespace cdsp;

TEST_CASE("bytes that are no UTF-8 are replaced, everything else stays as it is") {
  const nlohmann::ordered_json json = {{"b", "caf\xc3\xa9"}, {"a", "bad\xfe/x"}};
  CHECK(json_text(json) == "{\"b\":\"caf\xc3\xa9\",\"a\":\"bad\xef\xbf\xbd/x\"}");
  CHECK(json_text(nlohmann::json(json), 1) ==
        "{\n \"a\": \"bad\xef\xbf\xbd/x\",\n \"b\": \"caf\xc3\xa9\"\n}");
  CHECK(nlohmann::json::parse(json_text(json)).at("a") == "bad\xef\xbf\xbd/x");
}
