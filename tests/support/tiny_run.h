// Runs of the real program that take about a second, most of it to start.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace cdsp::test {

/// A config of that variant: 120 drawn images, width 16, 15 steps an epoch, each of them logged.
std::string tiny_yaml(const std::string& variant, int epochs = 2);

/// FOLDER/{baseline,blind,cdsp}.yaml
void write_tiny_suite(const TemporaryFolder& folder, int epochs = 1);

/// Every file below a folder with its content, by relative path; without those that tell the time
/// (run.json, timing.csv).
std::vector<std::pair<std::string, std::string>> files_without_clock(
    const std::filesystem::path& folder);

/// The rows of a CSV file, split at the commas; the first is the heading.
std::vector<std::vector<std::string>> csv_cells(const std::filesystem::path& file);

/// How many complete lines a file has; 0 if it is not there.
size_t line_count(const std::filesystem::path& file);

}  // namespace cdsp::test
