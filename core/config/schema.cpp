// What may stand in a config file, for editors (JSON Schema) and readers (Markdown).
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "config/config.h"
#include "config/json_value.h"
#include "config/keys.h"
#include "config/values.h"

namespace cdsp {

using Json = nlohmann::ordered_json;

Json json_value(const ConfigKey& key, const ConfigValue& value) {
  if (std::holds_alternative<std::monostate>(value))
    return key.empty_word == "null" ? Json() : Json(key.empty_word);
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::monostate>)
          return Json();
        else
          return Json(held);
      },
      value);
}

namespace {

Json number_schema(const NumberRange& range) {
  Json schema = {{"type", "number"}};
  schema[range.minimum_excluded ? "exclusiveMinimum" : "minimum"] = range.minimum;
  schema["maximum"] = range.maximum;
  return schema;
}

/// The values of a key, `empty_word` left out.
Json value_schema(const ConfigKey& key) {
  switch (key.type) {
    case KeyType::kBoolean:
      return {{"type", "boolean"}};
    case KeyType::kInteger:
      return {{"type", "integer"},
              {"minimum", key.integers.minimum},
              {"maximum", key.integers.maximum}};
    case KeyType::kUnsigned:
      return {
          {"type", "integer"}, {"minimum", 0}, {"maximum", std::numeric_limits<uint64_t>::max()}};
    case KeyType::kNumber:
      return number_schema(key.numbers);
    case KeyType::kChoice:
      return {{"type", "string"}, {"enum", key.choices}};
    case KeyType::kPath:
      return {{"type", "string"}, {"minLength", 1}};
    case KeyType::kDevice:
      return {{"type", "string"}, {"pattern", kDevicePattern}};
    case KeyType::kNames:
      return {{"type", "array"},
              {"items", {{"type", "string"}, {"pattern", kNamePattern}}},
              {"minItems", 1},
              {"uniqueItems", true}};
  }
  return Json::object();
}

Json key_schema(const ConfigKey& key) {
  Json schema = {{"description", key.description}, {"default", json_value(key, key.get(Config{}))}};
  if (key.empty_word.empty()) {
    schema.update(value_schema(key));
  } else {
    const Json empty =
        key.empty_word == "null" ? Json{{"type", "null"}} : Json{{"const", key.empty_word}};
    schema["anyOf"] = Json::array({empty, value_schema(key)});
  }
  return schema;
}

/// `a`, `b` for keys with words to choose from, else the sentence of the messages.
std::string allowed_cell(const ConfigKey& key) {
  if (key.type != KeyType::kChoice) return allowed_text(key);
  std::string cell;
  for (const std::string& word : key.choices) cell += (cell.empty() ? "`" : ", `") + word + "`";
  return cell;
}

std::string cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2))
    text.insert(at, "\\");
  return text;
}

}  // namespace

std::string config_json_schema() {
  Json properties = {
      {kBaseKey, {{"description", kBaseDescription}, {"type", "string"}, {"minLength", 1}}}};
  for (const ConfigKey& key : config_keys())
    if (key.section.empty()) properties[key.field] = key_schema(key);
  for (const ConfigSection& section : config_sections()) {
    Json keys;
    for (const ConfigKey& key : config_keys())
      if (key.section == section.name) keys[key.field] = key_schema(key);
    properties[section.name] = {{"description", section.description},
                                {"type", "object"},
                                {"additionalProperties", false},
                                {"properties", keys}};
  }
  const Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                       {"title", "cdsp config"},
                       {"description", "One run of cdsp. Keys left out keep their defaults."},
                       {"type", "object"},
                       {"minProperties", 1},
                       {"additionalProperties", false},
                       {"properties", properties}};
  return schema.dump(2) + "\n";
}

std::string config_markdown_table() {
  const Config defaults;
  std::string table = "| Key | Default | Allowed | Meaning |\n|---|---|---|---|\n";
  for (const ConfigKey& key : config_keys())
    table += "| `" + key.name() + "` | `" + value_text(key, key.get(defaults)) + "` | " +
             cell(allowed_cell(key)) + " | " + cell(key.description) + " |\n";
  return table;
}

std::string config_keys_json() {
  const Config defaults;
  Json list = Json::array();
  for (const ConfigKey& key : config_keys())
    list.push_back({{"key", key.name()},
                    {"default", json_value(key, key.get(defaults))},
                    {"allowed", allowed_text(key)},
                    {"description", key.description}});
  return list.dump(2) + "\n";
}

}  // namespace cdsp
