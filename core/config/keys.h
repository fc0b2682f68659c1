// The registry of config keys: for each its dotted name, type, field, allowed values and meaning.
//
// Reading YAML, overrides, to_yaml, flatten, the JSON Schema and the Markdown table are all made
// from it. A new key is one field in config.h and one line in keys.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "config/config.h"

namespace cdsp {

/// A value between the struct and text. Empty: the key's `empty_word` (`null`, `auto`).
using ConfigValue = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string,
                                 std::vector<std::string>>;

enum class KeyType {
  kBoolean,   // bool
  kInteger,   // int64_t
  kUnsigned,  // uint64_t, any
  kNumber,    // double, finite
  kChoice,    // std::string, one of `choices`
  kPath,      // std::string, not empty
  kNames,     // std::vector<std::string>, not empty, unique, safe as file and column names
  kDevice,    // std::string, auto | cpu | cuda | cuda:N
};

struct IntegerRange {
  int64_t minimum = std::numeric_limits<int64_t>::min();
  int64_t maximum = std::numeric_limits<int64_t>::max();
};

struct NumberRange {
  double minimum = 0.0;
  double maximum = 1.0;
  bool minimum_excluded = false;
};

struct ConfigKey {
  std::string section;  // "" at the top level
  std::string field;
  KeyType type = KeyType::kBoolean;
  std::string description;
  IntegerRange integers;             // of kInteger
  NumberRange numbers;               // of kNumber
  std::vector<std::string> choices;  // of kChoice
  std::string empty_word;            // the word for "no value"; "" = a value is needed
  std::function<ConfigValue(const Config&)> get;
  std::function<void(Config&, const ConfigValue&)> set;  // the value has passed problem_with()

  /// "moe.top_k"
  std::string name() const { return section.empty() ? field : section + "." + field; }
};

struct ConfigSection {
  std::string name;
  std::string description;
};

/// Every key, in the order of the YAML file; the keys of a section stand together.
const std::vector<ConfigKey>& config_keys();

/// Every section, in the same order.
const std::vector<ConfigSection>& config_sections();

/// The key of that dotted name, or null.
const ConfigKey* find_key(const std::string& name);
bool is_section(const std::string& name);

/// The key that names the file a config file builds on. It belongs to files, not to Config.
inline constexpr const char* kBaseKey = "base";
inline constexpr const char* kBaseDescription =
    "config file to start from, relative to this file; the keys here go on top";

/// Regular expressions (ECMAScript) of task names and devices, also given to the schema.
inline constexpr const char* kNamePattern = "^[A-Za-z0-9_-]{1,64}$";
inline constexpr const char* kDevicePattern = "^(auto|cpu|cuda|cuda:(0|[1-9][0-9]?))$";

}  // namespace cdsp
