#include "report/page/page_numbers.h"

#include <cmath>

#include "report/colour_scale.h"

namespace cdsp::page {

using Json = nlohmann::ordered_json;

Json colour_steps() {
  Json steps = Json::array();
  for (int step = 0; step <= 100; ++step) {
    const Colour colour = viridis(step / 100.0);
    steps.push_back({hex_code(colour), needs_white_text(colour) ? "#ffffff" : "#000000"});
  }
  return steps;
}

Json cell_numbers(const RoutingRows& rows) {
  Json values = Json::array();
  for (const auto& row : rows) {
    for (const double value : row) {
      values.push_back(std::isfinite(value) ? Json(std::llround(value * 1e4)) : Json(nullptr));
    }
  }
  return values;
}

Html script_json(const Json& json) {
  Html html;
  for (const char c : json.dump()) {
    html.markup += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return html;
}

}  // namespace cdsp::page
