// The subcommands of cdsp. Each file of app/ adds one to the parser: it declares its options and,
// when chosen, leaves the work to do in `action`; main() runs it and turns errors into exit codes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace cdsp::app {

/// Options that every subcommand understands.
struct GlobalOptions {
  bool quiet = false;  // only warnings, errors and the requested result
  bool json = false;   // the result as JSON on standard output, nothing else there
  std::vector<std::string> command_line;  // as typed, the program's name first
};

/// The chosen subcommand's work; returns the process's exit code.
using Action = std::function<int()>;

void add_train(CLI::App& root, const GlobalOptions& global, Action& action);
void add_blind_eval(CLI::App& root, const GlobalOptions& global, Action& action);
void add_compare(CLI::App& root, const GlobalOptions& global, Action& action);
void add_verification(CLI::App& root, const GlobalOptions& global, Action& action);
void add_data(CLI::App& root, const GlobalOptions& global, Action& action);
void add_config(CLI::App& root, const GlobalOptions& global, Action& action);
void add_info(CLI::App& root, const GlobalOptions& global, Action& action);
void add_bench(CLI::App& root, const GlobalOptions& global, Action& action);
void add_report(CLI::App& root, const GlobalOptions& global, Action& action);

}  // namespace cdsp::app
