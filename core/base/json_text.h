// JSON as text, whatever bytes the paths in it have.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace cdsp {

/// The value with `indent` blanks a level, on one line where that is negative. Bytes that are no
/// UTF-8, which a path may have and JSON may not, become U+FFFD.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace cdsp
