// cdsp info: versions and machine, to go with a report of a problem or a timing.
#include <string>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/output.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {

int info(const GlobalOptions& global) {
  use_threads(0);  // what a run with train.threads: 0 would use
  nlohmann::ordered_json json;
  for (const auto& [name, value] : runtime_facts()) json[name] = value;
  const BlasInfo blas = blas_info();
  json["blas_is_slow_reference"] = blas.is_slow_reference;
  if (blas.is_slow_reference) {
    spdlog::warn(
        "the BLAS is the reference one ({}): training takes many times longer; on Debian and "
        "Ubuntu install libopenblas0-openmp",
        blas.name);
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  std::string text;
  for (const auto& [name, value] : runtime_facts()) {
    text += name + ":" + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + value + "\n";
  }
  print_result(text);
  return 0;
}

}  // namespace

void add_info(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command =
      root.add_subcommand("info", "Print versions, devices, threads, BLAS and build flags");
  command->footer("Example:\n  cdsp info --json");
  command->callback([&global, &action] { action = [&global] { return info(global); }; });
}

}  // namespace cdsp::app
