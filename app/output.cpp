#include "app/output.h"

#include <cstdio>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/error.h"
#include "base/json_text.h"

namespace cdsp::app {

void print_result(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw WorkError("standard output: writing failed");
  }
}

void print_result(const nlohmann::ordered_json& json) { print_result(json_text(json, 2) + "\n"); }

Terminal result_terminal() { return describe_terminal(STDOUT_FILENO); }

std::string shell_word(const std::string& word) {
  const std::string harmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(harmless) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace cdsp::app
