// cdsp compare: variants side by side.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "app/signals.h"
#include "base/atomic_file.h"
#include "experiment/compare_baselines.h"
#include "report/comparison_table.h"
#include "report/routing_heatmap_svg.h"

namespace cdsp::app {
namespace {
namespace fs = std::filesystem;

struct CompareArguments {
  std::string suite = "configs/paper", seeds = "0", out = "runs/compare";
  std::vector<std::string> overrides;
};

/// The comparison's files by name, in the order to list them.
std::vector<std::pair<fs::path, std::string>> files_of(const Comparison& comparison,
                                                       const fs::path& out) {
  return {{out / "comparison.md", comparison_markdown(comparison)},
          {out / "comparison.json", comparison_json(comparison).dump(1) + "\n"},
          {out / "comparison.csv", comparison_csv(comparison)},
          {out / "routing.svg", routing_heatmap_svg(comparison_heatmaps(comparison))}};
}

int compare_baselines(const CompareArguments& arguments, const GlobalOptions& global) {
  CompareOptions options;
  options.suite = arguments.suite;
  options.seeds = parse_seeds(arguments.seeds);
  options.overrides = arguments.overrides;
  options.out = arguments.out;
  options.stop = &note_stop_signals();
  const auto observer = make_observer(global);
  const auto comparison = cdsp::compare_baselines(options, *observer);
  if (!comparison) {
    spdlog::warn("stopped before the end; go on with the same command: {}",
                 command_text(global.command_line));
    return exit_code_of_stop();
  }
  std::string written = "\n";
  for (const auto& [path, content] : files_of(*comparison, options.out)) {
    write_file_atomically(path, content);
    written += "written: " + path.string() + "\n";
  }
  if (global.json) {
    print_result(comparison_json(*comparison));
  } else {
    print_result(comparison_text(*comparison) + "\n" +
                 comparison_heatmap_text(*comparison, result_terminal()) + written);
  }
  return 0;
}

void add_baselines(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "baselines", "Baseline, blind baseline and CDSP: trains what is missing, then the table");
  command->footer(
      "Finished runs in --out are taken as they are, unfinished ones continued.\n\n"
      "Example: three seeds on images that the program draws itself\n"
      "  cdsp compare baselines --suite configs/smoke --seeds 0..2 --out runs/smoke");
  auto arguments = std::make_shared<CompareArguments>();
  command
      ->add_option("--suite", arguments->suite,
                   "Folder with baseline.yaml, blind.yaml and cdsp.yaml")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--seeds", arguments->seeds, "Seeds, as in 0,3,5..9")
      ->capture_default_str()
      ->type_name("LIST");
  add_set_option(*command, arguments->overrides);
  command->add_option("--out", arguments->out, "Folder of the runs and the tables")
      ->capture_default_str()
      ->type_name("DIR");
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return compare_baselines(*arguments, global); };
  });
}

}  // namespace

void add_compare(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("compare", "Train and tabulate several variants");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp compare baselines --suite configs/smoke --out runs/smoke");
  add_baselines(*command, global, action);
}

}  // namespace cdsp::app
