// From YAML to a key's value and back, and what a key allows.
#pragma once

#include <optional>
#include <string>

#include "config/keys.h"
#include "config/yaml_tree.h"

namespace cdsp {

/// A value that a key does not take. `line` is 0 unless it differs from the key's line.
struct BadValue {
  std::string message;  // "found ...; allowed: ..."
  int line = 0;
};

/// The node as a value of that key. Throws BadValue.
ConfigValue read_value(const ConfigKey& key, const YamlNode& node);

/// "found ...; allowed: ..." if the key does not take the value (of the key's type) by itself.
std::optional<std::string> problem_with(const ConfigKey& key, const ConfigValue& value);

/// What the key takes, in words: "an integer from 1 to 4096", "token or sequence".
std::string allowed_text(const ConfigKey& key);

/// The value as YAML prints it.
std::string value_text(const ConfigKey& key, const ConfigValue& value);

}  // namespace cdsp
