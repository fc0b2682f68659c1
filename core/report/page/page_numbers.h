// Numbers that the page's script paints pictures with.
#pragma once

#include <nlohmann/json.hpp>

#include "report/page/template.h"
#include "report/report_data.h"

namespace cdsp::page {

/// Colours by steps of a hundredth, with the ink that is read on them: what the page needs to
/// colour a cell as the pictures do.
nlohmann::ordered_json colour_steps();

/// A matrix row by row in ten-thousandths, which is more than a cell shows and short to write; null
/// for what is no number.
nlohmann::ordered_json cell_numbers(const RoutingRows& rows);

/// JSON that may stand inside a script element.
Html script_json(const nlohmann::ordered_json& json);

}  // namespace cdsp::page
