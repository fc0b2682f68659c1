#include "experiment/theory.h"

#include <cmath>
#include <cstdio>
#include <set>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/csv.h"
#include "base/error.h"
#include "base/json_text.h"
#include "experiment/theory_entropy.h"
#include "experiment/theory_lemma1.h"
#include "experiment/theory_pruning.h"
#include "experiment/theory_run.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kFewestPaths = 100, kMostPaths = 1000000;
constexpr const char* kFile = "theory.json";

nlohmann::ordered_json numbers_json(const std::vector<double>& values) {
  auto json = nlohmann::ordered_json::array();
  for (const double value : values) {
    if (std::isfinite(value))
      json.push_back(value);
    else
      json.push_back(nullptr);
  }
  return json;
}

nlohmann::ordered_json series_json(const TheorySeries& series) {
  nlohmann::ordered_json json;
  json["label"] = series.label;
  json["x"] = numbers_json(series.x);
  json["y"] = numbers_json(series.y);
  if (!series.low.empty()) {
    json["low"] = numbers_json(series.low);
    json["high"] = numbers_json(series.high);
  }
  json["style"] = series.style;
  return json;
}

nlohmann::ordered_json chart_json(const TheoryChart& chart) {
  nlohmann::ordered_json json;
  json["id"] = chart.id;
  json["title"] = chart.title;
  json["x"] = {{"label", chart.x.label}, {"log", chart.x.log}};
  json["y"] = {{"label", chart.y.label}, {"log", chart.y.log}};
  json["series"] = nlohmann::ordered_json::array();
  for (const TheorySeries& series : chart.series) json["series"].push_back(series_json(series));
  return json;
}

nlohmann::ordered_json section_json(const TheorySection& section) {
  nlohmann::ordered_json json;
  json["id"] = section.id;
  json["title"] = section.title;
  json["text"] = section.text;
  json["findings"] = nlohmann::ordered_json::array();
  for (const TheoryFinding& finding : section.findings) {
    nlohmann::ordered_json entry;
    entry["statement"] = finding.statement;
    entry["holds"] = nullptr;
    if (finding.holds) entry["holds"] = *finding.holds;
    entry["evidence"] = finding.evidence;
    json["findings"].push_back(std::move(entry));
  }
  json["charts"] = nlohmann::ordered_json::array();
  for (const TheoryChart& chart : section.charts) json["charts"].push_back(chart_json(chart));
  json["tables"] = nlohmann::ordered_json::array();
  for (const TheoryTable& table : section.tables) {
    nlohmann::ordered_json entry;
    entry["title"] = table.title;
    entry["columns"] = table.columns;
    entry["rows"] = table.rows;
    json["tables"].push_back(std::move(entry));
  }
  return json;
}

/// Chart files that an earlier call listed in its theory.json.
std::set<fs::path> charts_of_earlier_call(const fs::path& out) {
  std::set<fs::path> files;
  if (!fs::exists(out / kFile)) return files;
  try {
    const auto json = nlohmann::json::parse(read_file(out / kFile));
    for (const auto& section : json.at("sections")) {
      for (const auto& chart : section.at("charts")) {
        const fs::path name = chart.at("id").get<std::string>() + ".csv";
        if (name.filename() == name) files.insert(out / name);
      }
    }
  } catch (const nlohmann::json::exception& error) {
    throw InputError((out / kFile).string() +
                     ": is not what cdsp verify theory writes: " + error.what());
  }
  return files;
}

}  // namespace

std::vector<TheorySection> verify_theory(const TheoryOptions& options) {
  if (options.paths < kFewestPaths || options.paths > kMostPaths) {
    throw InputError("--paths: is " + std::to_string(options.paths) + ", allowed are " +
                     std::to_string(kFewestPaths) + " to " + std::to_string(kMostPaths));
  }
  std::optional<TheoryRun> run;
  if (options.run) run = read_theory_run(*options.run);
  const TheoryRun* beside = run ? &*run : nullptr;
  std::vector<TheorySection> sections;
  sections.push_back(verify_lemma1(options, beside));
  sections.push_back(verify_pruning(options, beside));
  sections.push_back(verify_entropy(options, beside));
  return sections;
}

nlohmann::ordered_json theory_json(const std::vector<TheorySection>& sections,
                                   const TheoryOptions& options) {
  nlohmann::ordered_json json;
  json["format"] = 1;
  json["seed"] = options.seed;
  json["paths"] = options.paths;
  json["run"] = nullptr;
  if (options.run) json["run"] = options.run->string();
  json["sections"] = nlohmann::ordered_json::array();
  for (const TheorySection& section : sections) json["sections"].push_back(section_json(section));
  return json;
}

std::string chart_csv(const TheoryChart& chart) {
  std::string text = "series,x,y,low,high\n";
  for (const TheorySeries& series : chart.series) {
    std::string label = series.label;
    for (char& c : label) c = c == ',' ? ';' : c;
    for (size_t i = 0; i < series.x.size(); ++i) {
      const bool banded = !series.low.empty();
      text += CsvRow()
                  .add(label)
                  .add(series.x[i])
                  .add(series.y[i])
                  .add(banded ? std::optional<double>(series.low[i]) : std::nullopt)
                  .add(banded ? std::optional<double>(series.high[i]) : std::nullopt)
                  .text() +
              '\n';
    }
  }
  return text;
}

void check_theory_folder(const fs::path& out) {
  std::error_code code;
  if (!fs::exists(out, code) || fs::exists(out / kFile, code)) return;
  if (!fs::is_directory(out, code)) throw InputError("--out: " + out.string() + " is not a folder");
  if (!fs::is_empty(out, code)) {
    throw InputError("--out: " + out.string() +
                     " is not empty and holds no theory.json; choose another folder");
  }
}

std::vector<fs::path> write_theory(const fs::path& out, const std::vector<TheorySection>& sections,
                                   const TheoryOptions& options) {
  check_theory_folder(out);
  std::error_code code;
  fs::create_directories(out, code);
  if (code) throw WorkError(out.string() + ": cannot be created: " + code.message());
  std::set<fs::path> old = charts_of_earlier_call(out);
  std::vector<fs::path> written = {out / kFile};
  for (const TheorySection& section : sections) {
    for (const TheoryChart& chart : section.charts) {
      written.push_back(out / (chart.id + ".csv"));
      write_file_atomically(written.back(), chart_csv(chart));
      old.erase(written.back());
    }
  }
  for (const fs::path& file : old) fs::remove(file, code);
  write_file_atomically(written.front(), json_text(theory_json(sections, options), 1) + "\n");
  return written;
}

std::string figure(double value) {
  char text[32];
  const bool whole = std::abs(value) >= 1000.0 && std::abs(value) < 1e7;
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.3g", value);
  return text;
}

std::string share_figure(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100.0 * fraction);
  return text;
}

}  // namespace cdsp
