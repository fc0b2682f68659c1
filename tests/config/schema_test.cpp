// The schema for editors and the table for readers.
#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "config/keys.h"
#include "config/values.h"
#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;
using Json = nlohmann::json;

TEST_CASE("the keys of a section stand together, in the order of the sections, each name once") {
  std::vector<std::string> sections;
  std::set<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    CHECK(names.insert(key.name()).second);
    CHECK_FALSE(key.description.empty());
    if (sections.empty() || sections.back() != key.section) sections.push_back(key.section);
  }
  std::vector<std::string> expected = {""};
  for (const ConfigSection& section : config_sections()) expected.push_back(section.name);
  CHECK(sections == expected);
}

TEST_CASE("every key sets the field that it reads, and no other") {
  const Config defaults;
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name());
    Config changed;
    ConfigValue value = key.get(defaults);
    if (auto* integer = std::get_if<int64_t>(&value))
      *integer += 1;
    else if (auto* any = std::get_if<uint64_t>(&value))
      *any += 1;
    else if (auto* number = std::get_if<double>(&value))
      *number += 0.5;
    else if (auto* flag = std::get_if<bool>(&value))
      *flag = !*flag;
    else if (auto* names = std::get_if<std::vector<std::string>>(&value))
      names->push_back("more");
    else if (key.type == KeyType::kChoice)
      value = key.choices.back() == std::get<std::string>(value) ? key.choices.front()
                                                                 : key.choices.back();
    else if (key.type == KeyType::kInteger)
      value = int64_t{5};
    else
      value = std::string("cpu");
    key.set(changed, value);
    size_t differences = 0;
    for (size_t i = 0; i < config_keys().size(); ++i)
      if (flatten(changed)[i] != flatten(defaults)[i]) ++differences;
    CHECK(differences == 1);
    CHECK(key.get(changed) == value);
  }
}

TEST_CASE("the schema is of draft 2020-12 and closed at every level") {
  const Json schema = Json::parse(config_json_schema());
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  CHECK(schema["type"] == "object");
  CHECK(schema["additionalProperties"] == false);
  CHECK(schema["properties"].contains("base"));
  CHECK(schema["properties"].size() == config_sections().size() + 3);
  for (const ConfigSection& section : config_sections()) {
    const Json& part = schema["properties"][section.name];
    CHECK(part["type"] == "object");
    CHECK(part["additionalProperties"] == false);
    CHECK(part["description"] == section.description);
  }
}

TEST_CASE("the schema has every key with description and default") {
  const Json schema = Json::parse(config_json_schema());
  const Json defaults = Json::parse(to_json(Config{}));
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name());
    const Json& parent = key.section.empty() ? schema["properties"]
                                             : schema["properties"][key.section]["properties"];
    REQUIRE(parent.contains(key.field));
    CHECK(parent[key.field]["description"] == key.description);
    CHECK(parent[key.field]["default"] ==
          (key.section.empty() ? defaults : defaults[key.section])[key.field]);
  }
}

TEST_CASE("the schema knows types, choices and bounds") {
  const Json properties = Json::parse(config_json_schema())["properties"];
  CHECK(properties["variant"]["enum"] == Json::array({"cdsp", "baseline", "blind"}));
  CHECK(properties["seed"]["maximum"] == 18446744073709551615u);
  CHECK(properties["moe"]["properties"]["top_k"]["type"] == "integer");
  CHECK(properties["moe"]["properties"]["top_k"]["minimum"] == 1);
  CHECK(properties["moe"]["properties"]["rank"]["anyOf"][0]["const"] == "auto");
  CHECK(properties["optimizer"]["properties"]["lr"]["exclusiveMinimum"] == 0.0);
  CHECK(properties["optimizer"]["properties"]["clip_norm"]["minimum"] == 0.0);
  CHECK(properties["router"]["properties"]["task_dropout"]["maximum"] == 1.0);
  CHECK(properties["data"]["properties"]["tasks"]["uniqueItems"] == true);
  CHECK(properties["data"]["properties"]["tasks"]["minItems"] == 1);
  CHECK(properties["data"]["properties"]["order_file"]["anyOf"][0]["type"] == "null");
}

TEST_CASE("the table has one row a key") {
  const std::string table = config_markdown_table();
  CHECK(static_cast<size_t>(std::count(table.begin(), table.end(), '\n')) ==
        config_keys().size() + 2);
  CHECK(table.find("| `moe.rank` | `auto` | auto or an integer from 1 to 1048576 | ") !=
        std::string::npos);
  CHECK(table.find("mean\\|A\\|") != std::string::npos);
  CHECK(Json::parse(config_keys_json()).size() == config_keys().size());
}

TEST_CASE("docs/config.md holds exactly the table of the program (cdsp config keys prints it)") {
  const std::string docs = read_file(std::string(CDSP_TEST_SOURCE_DIR) + "/../docs/config.md");
  CHECK(docs.find("\n" + config_markdown_table()) != std::string::npos);
}

TEST_CASE("every default is valid for its own key") {
  for (const ConfigKey& key : config_keys()) {
    INFO(key.name());
    CHECK_FALSE(problem_with(key, key.get(Config{})).has_value());
  }
}
