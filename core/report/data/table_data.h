// A table whose cells are text, as files bring it.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace cdsp::page {

struct TableData {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

/// {"title", "columns", "rows"}. Throws std::invalid_argument if a row has another length than the
/// heading.
TableData table_of(const nlohmann::ordered_json& json);

}  // namespace cdsp::page
