// Results go to standard output, whole or not at all; everything else goes to standard error.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "report/terminal.h"

namespace cdsp::app {

/// Throws WorkError if standard output takes no more (closed pipe, full disk).
void print_result(const std::string& text);
void print_result(const nlohmann::ordered_json& json);

/// What the terminal behind standard output can show.
Terminal result_terminal();

/// A word of a command line as a shell reads it back, quoted where it must be.
std::string shell_word(const std::string& word);

}  // namespace cdsp::app
