// Numbers in JSON, which knows neither NaN nor infinity: what is not defined is null.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace cdsp {

nlohmann::json number_json(double value);

/// The other way round: null is NaN. Throws nlohmann::json::exception if it is neither.
double number_from_json(const nlohmann::json& value);

}  // namespace cdsp
