#include "base/json_number.h"

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

namespace cdsp {

nlohmann::json number_json(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

double number_from_json(const nlohmann::json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace cdsp
