// A key's value in JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "config/keys.h"

namespace cdsp {

/// null and `auto` as in YAML: the one has no value, the other is that word.
nlohmann::ordered_json json_value(const ConfigKey& key, const ConfigValue& value);

}  // namespace cdsp
