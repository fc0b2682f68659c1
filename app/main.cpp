// cdsp: trains, blind-evaluates and compares the three variants of CDSP-MoE (arXiv:2512.20291).
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "app/commands.h"
#include "base/error.h"
#include "base/failure.h"
#include "cdsp_version.h"
#include "config/suggest.h"
#include "train/runtime.h"

namespace {

using namespace cdsp;

/// Logging goes to standard error, so that standard output carries results only.
void set_up_logging(bool quiet) {
  auto logger = spdlog::stderr_color_mt("cdsp");
  logger->set_pattern("cdsp: %^%l%$: %v");
  logger->set_level(quiet ? spdlog::level::warn : spdlog::level::info);
  spdlog::set_default_logger(logger);
}

/// One line, whatever is in the message.
int report(const std::string& message, int code) {
  const std::string line = message.substr(0, message.find('\n'));
  std::fprintf(stderr, "cdsp: error: %s\n", line.c_str());
  return code;
}

/// What is wrong with the words in the place of subcommands, if anything: "unknown command 'trian';
/// ...".
std::string wrong_command(const CLI::App& root, int argc, char** argv) {
  const auto commands_of = [](const CLI::App& parent) {
    return parent.get_subcommands([](const CLI::App*) { return true; });
  };
  const auto names_of = [&](const CLI::App& parent) {
    std::string names;
    for (const CLI::App* command : commands_of(parent)) {
      names += (names.empty() ? "" : ", ") + command->get_name();
    }
    return names;
  };
  const CLI::App* parent = &root;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind('-', 0) == 0) continue;
    if (commands_of(*parent).empty()) return "";
    const CLI::App* nearest = nullptr;
    int distance = 3;  // farther words are no slips of the finger
    for (const CLI::App* command : commands_of(*parent)) {
      if (edit_distance(command->get_name(), word) >= distance) continue;
      nearest = command;
      distance = edit_distance(command->get_name(), word);
    }
    if (distance > 0) {
      return "unknown command '" + word + "'; " +
             (nearest != nullptr ? "did you mean '" + nearest->get_name() + "'?"
                                 : "there are: " + names_of(*parent));
    }
    parent = nearest;
  }
  return commands_of(*parent).empty() ? "" : "a command is needed; there are: " + names_of(*parent);
}

/// A stream that was closed before the start stays one that nothing can be written to, instead of
/// the first file that the program opens.
void reserve_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", O_RDONLY);
  }
}

/// --quiet and --json stand at the root and serve everywhere; every command's help says so.
void tell_of_global_options(CLI::App& parent) {
  for (CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; })) {
    command->footer(
        command->get_footer() +
        "\n\nAlso: --quiet prints only warnings, errors and the result; --json prints the "
        "result as JSON.");
    tell_of_global_options(*command);
  }
}

/// Prints --help or --version; a reader that is gone is a failure here too.
int answer(CLI::App& root, const CLI::ParseError& request) {
  const int code = root.exit(request);
  std::cout.flush();
  return std::cout ? code : report("standard output: writing failed", kExitFailedAtWork);
}

int run(const app::Action& action) {
  try {
    return action ? action() : 0;
  } catch (const std::exception& error) {
    const Failure failure = failure_of(error);
    return report(failure.message, failure.exit_code);
  }
}

}  // namespace

int main(int argc, char** argv) {
  reserve_standard_streams();
  keep_freed_memory();
  // A reader that goes away ends in an error at the next write, not in the death of a long run.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // the same for a limit on file sizes
  CLI::App root{
      "cdsp: does modularity emerge from gradient conflict? Trains, blind-evaluates and compares\n"
      "the variants of CDSP-MoE (arXiv:2512.20291)."};
  root.footer("Example:\n  cdsp compare baselines --suite configs/smoke --out runs/first");
  root.set_version_flag("--version",
                        std::string("cdsp ") + CDSP_VERSION + " (" + CDSP_GIT_COMMIT + ")");
  root.require_subcommand(1);
  root.fallthrough();
  app::GlobalOptions global;
  global.command_line.assign(argv, argv + argc);
  root.add_flag("--quiet", global.quiet, "Print only warnings, errors and the result");
  root.add_flag("--json", global.json, "Print the result as JSON on standard output");

  app::Action action;
  app::add_train(root, global, action);
  app::add_blind_eval(root, global, action);
  app::add_compare(root, global, action);
  app::add_verification(root, global, action);
  app::add_data(root, global, action);
  app::add_config(root, global, action);
  app::add_info(root, global, action);
  app::add_bench(root, global, action);
  app::add_report(root, global, action);
  tell_of_global_options(root);

  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      return answer(root, error);
    }
    const std::string wrong = wrong_command(root, argc, argv);
    return report(wrong.empty() ? error.what() : wrong, kExitBadInput);
  }
  // A second start is worth its time only for work that multiplies matrices.
  const auto chosen = [&root](const char* name) { return root.got_subcommand(name); };
  if (!chosen("config") && !chosen("data") && !chosen("report") && !chosen("verify")) {
    restart_with_fast_blas(argv);
  }
  set_up_logging(global.quiet);
  return run(action);
}
