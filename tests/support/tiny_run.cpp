#include "support/tiny_run.h"

#include <algorithm>
#include <sstream>

#include "base/atomic_file.h"

namespace cdsp::test {
namespace fs = std::filesystem;

std::string tiny_yaml(const std::string& variant, int epochs) {
  return "variant: " + variant +
         "\n"
         "seed: 3\n"
         "model: {d_model: 16}\n"
         "moe: {d_base: 64, d_ffn: 8}\n"
         "data: {source: glyphs, tasks: [strokes, cursive, objects], glyphs_train: 40, "
         "glyphs_test: 20}\n"
         "train: {epochs: " +
         std::to_string(epochs) + ", batch_size: 8, log_every: 1, threads: 1, device: cpu}\n";
}

void write_tiny_suite(const TemporaryFolder& folder, int epochs) {
  for (const char* variant : {"baseline", "blind", "cdsp"}) {
    folder.write(std::string(variant) + ".yaml", tiny_yaml(variant, epochs));
  }
}

std::vector<std::pair<std::string, std::string>> files_without_clock(const fs::path& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    if (!entry.is_regular_file() || name == "run.json" || name == "timing.csv") continue;
    files.emplace_back(fs::relative(entry.path(), folder).string(), read_file(entry.path()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::vector<std::string>> csv_cells(const fs::path& file) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(read_file(file));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells(1);
    for (const char c : line) {
      if (c == ',') {
        cells.emplace_back();
      } else {
        cells.back() += c;
      }
    }
    rows.push_back(cells);
  }
  return rows;
}

size_t line_count(const fs::path& file) {
  if (!fs::exists(file)) return 0;
  const std::string content = read_file(file);
  return static_cast<size_t>(std::count(content.begin(), content.end(), '\n'));
}

}  // namespace cdsp::test
