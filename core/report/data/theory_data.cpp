#include "report/data/theory_data.h"

#include <stdexcept>

#include <nlohmann/json.hpp>

#include "report/data/json_file.h"

namespace cdsp::page {
namespace {

using Json = nlohmann::ordered_json;

ChartAxis read_axis(const Json& json) { return {text_of(json, "label"), json.value("log", false)}; }

ChartSeries read_series(const Json& json, size_t number) {
  ChartSeries series;
  series.label = text_of(json, "label");
  series.x = numbers_of(json, "x");
  series.y = numbers_of(json, "y");
  series.low = numbers_of(json, "low");
  series.high = numbers_of(json, "high");
  series.colour = number;
  const std::string style = json.value("style", std::string("line"));
  if (style == "dashed") {
    series.style = ChartSeries::Style::kDashed;
  } else if (style == "points") {
    series.style = ChartSeries::Style::kPoints;
  } else if (style != "line") {
    throw std::invalid_argument("the style '" + style + "' is none of line, dashed, points");
  }
  const size_t size = series.x.size();
  const bool band = !series.low.empty() || !series.high.empty();
  if (series.y.size() != size ||
      (band && (series.low.size() != size || series.high.size() != size))) {
    throw std::invalid_argument("the series '" + series.label + "' has lists of different lengths");
  }
  return series;
}

TheoryPart read_part(const Json& json) {
  TheoryPart part;
  part.id = json.at("id").get<std::string>();
  part.title = json.at("title").get<std::string>();
  part.text = text_of(json, "text");
  for (const Json& entry : json.value("findings", Json::array())) {
    TheoryFinding finding;
    finding.statement = entry.at("statement").get<std::string>();
    finding.evidence = text_of(entry, "evidence");
    if (entry.contains("holds") && !entry["holds"].is_null()) {
      finding.holds = entry["holds"].get<bool>();
    }
    part.findings.push_back(finding);
  }
  for (const Json& entry : json.value("charts", Json::array())) {
    LineChart chart;
    chart.title = entry.at("title").get<std::string>();
    chart.x = read_axis(entry.at("x"));
    chart.y = read_axis(entry.at("y"));
    for (const Json& series : entry.at("series")) {
      chart.series.push_back(read_series(series, chart.series.size()));
    }
    part.charts.emplace_back(entry.at("id").get<std::string>(), chart);
  }
  for (const Json& entry : json.value("tables", Json::array())) {
    part.tables.push_back(table_of(entry));
  }
  return part;
}

}  // namespace

TheoryData read_theory(const std::filesystem::path& path) {
  TheoryData parts;
  read_json_file(path, [&](const Json& json) {
    for (const Json& entry : json.at("sections")) parts.push_back(read_part(entry));
  });
  return parts;
}

}  // namespace cdsp::page
