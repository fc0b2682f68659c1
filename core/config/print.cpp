// The resolved config as text: YAML, key by key, JSON.
#include <nlohmann/json.hpp>

#include "config/config.h"
#include "config/json_value.h"
#include "config/keys.h"
#include "config/values.h"

namespace cdsp {

std::string to_yaml(const Config& config) {
  std::string yaml;
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) yaml += key.section + ":\n";
    section = key.section;
    yaml +=
        (section.empty() ? "" : "  ") + key.field + ": " + value_text(key, key.get(config)) + "\n";
  }
  return yaml;
}

std::vector<std::pair<std::string, std::string>> flatten(const Config& config) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const ConfigKey& key : config_keys())
    values.emplace_back(key.name(), value_text(key, key.get(config)));
  return values;
}

std::string to_json(const Config& config) {
  nlohmann::ordered_json json;
  for (const ConfigKey& key : config_keys()) {
    auto& parent = key.section.empty() ? json : json[key.section];
    parent[key.field] = json_value(key, key.get(config));
  }
  return json.dump(2) + "\n";
}

}  // namespace cdsp
