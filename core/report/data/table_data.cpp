#include "report/data/table_data.h"

#include <stdexcept>

#include <nlohmann/json.hpp>

#include "report/data/json_file.h"
#include "report/figures/axis.h"

namespace cdsp::page {

TableData table_of(const nlohmann::ordered_json& json) {
  TableData table;
  table.title = text_of(json, "title");
  for (const auto& column : json.at("columns")) table.columns.push_back(shown(column));
  for (const auto& row : json.at("rows")) {
    std::vector<std::string> cells;
    for (const auto& cell : row) {
      cells.push_back(cell.is_number_float() ? short_number(cell.get<double>(), 5) : shown(cell));
    }
    if (cells.size() != table.columns.size()) {
      throw std::invalid_argument("the table '" + table.title +
                                  "' has a row of another length than its heading");
    }
    table.rows.push_back(cells);
  }
  return table;
}

}  // namespace cdsp::page
