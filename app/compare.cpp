// cdsp compare: the arms of a suite, or one config at several values of a key.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/compare_progress.h"
#include "app/options.h"
#include "app/output.h"
#include "app/signals.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/ablation.h"
#include "experiment/claims.h"
#include "experiment/compare_baselines.h"
#include "experiment/comparison_files.h"
#include "experiment/run_process.h"
#include "experiment/run_turns.h"
#include "report/ablation_table.h"
#include "report/comparison_table.h"
#include "report/data/claims_data.h"
#include "report/html_report.h"
#include "report/routing_heatmap_svg.h"
#include "report/run_table.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {
namespace fs = std::filesystem;

/// What both kinds of comparison understand.
struct QueueArguments {
  std::string seeds = "0", out, jobs = "auto";
  std::vector<std::string> overrides, from;
  bool dry_run = false;
};

struct CompareArguments : QueueArguments {
  std::string suite = shipped_config("paper"), arms;
};

struct AblationArguments : QueueArguments {
  std::string config, key, values, study;
};

int64_t requested_jobs(const std::string& text) {
  if (text == "auto") return 0;
  const bool digits = !text.empty() && text.size() <= 4 &&
                      text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoll(text) < 1)
    throw InputError("--jobs: found '" + text + "'; allowed: auto or a number from 1 to 9999");
  return std::stoll(text);
}

/// The options that all comparisons share, from the command line into the library's words.
template <class Options>
Options shared_options(const QueueArguments& arguments) {
  Options options;
  options.seeds = parse_seeds(arguments.seeds);
  options.overrides = arguments.overrides;
  options.out = arguments.out;
  options.from.assign(arguments.from.begin(), arguments.from.end());
  options.jobs = requested_jobs(arguments.jobs);
  return options;
}

std::unique_ptr<QueueObserver> queue_observer(const GlobalOptions& global) {
  if (global.quiet) return std::make_unique<QueueObserver>();
  return std::make_unique<CompareProgress>(progress_on_stderr());
}

int show_plan(const RunPlan& plan, int64_t jobs, const GlobalOptions& global) {
  const JobShare share = share_cores(plan.runs, jobs, cores_of_this_process());
  if (global.json) {
    print_result(plan_json(plan, share));
  } else {
    print_result(plan_text(plan, share));
  }
  return 0;
}

int stopped(const GlobalOptions& global) {
  spdlog::warn("stopped before the end; go on with the same command: {}",
               command_text(global.command_line));
  return exit_code_of_stop();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// What was written, and how the report of it is made.
std::string closing_lines(const std::vector<fs::path>& files, const fs::path& out,
                          const GlobalOptions& global) {
  std::string text = "\n";
  for (const fs::path& file : files) text += "written: " + file.string() + "\n";
  return text + "next: " + command_text({global.command_line.front(), "report", out.string()}) +
         "\n";
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// What could not be measured for want of an arm, and the command that would; empty if nothing.
std::string advice_on_arms(const Comparison& comparison, const CompareArguments& arguments,
                           const GlobalOptions& global) {
  std::vector<std::string> names, claims, missing;
  for (const ComparedArm& arm : comparison.arms) names.push_back(arm.name);
  for (const UnmeasuredClaim& claim : claims_that_lack_an_arm(names)) {
    claims.push_back(claim.id);
    if (std::find(missing.begin(), missing.end(), claim.arm) == missing.end())
      missing.push_back(claim.arm);
  }
  if (claims.empty()) return "";
  std::string text = "not measured: " + joined(claims) + ", for want of " + joined(missing) + "; ";
  if (comparison.controls.empty()) {
    return text +
           "a suite file such as configs/paper-controls.yaml or configs/reference-controls.yaml "
           "has such arms\n";
  }
  std::vector<std::string> words = {global.command_line.front(),
                                    "compare",
                                    "baselines",
                                    "--suite",
                                    comparison.controls.string(),
                                    "--seeds",
                                    arguments.seeds,
                                    "--out",
                                    arguments.out};
  for (const std::string& setting : arguments.overrides)
    words.insert(words.end(), {"--set", setting});
  return text + "these runs are used again by\n  " + command_text(words) + "\n";
}

/// The claims as a table; of one seed, which judges nothing, none.
std::string verdicts_text(const fs::path& claims, size_t seeds) {
  return seeds > 1 ? "\n" + claims_text(page::read_claims(claims)) + "\n" : "";
}

int compare_baselines(const CompareArguments& arguments, const GlobalOptions& global) {
  auto options = shared_options<CompareOptions>(arguments);
  options.suite = arguments.suite;
  if (!arguments.arms.empty()) options.arms = split(arguments.arms);
  if (arguments.dry_run) return show_plan(plan_comparison(options), options.jobs, global);
  options.stop = &note_stop_signals();
  const auto observer = queue_observer(global);
  const auto comparison =
      cdsp::compare_baselines(options, launch_on_devices(launch_processes()), *observer);
  if (!comparison) return stopped(global);

  std::vector<fs::path> files = write_comparison(*comparison, options.out);
  write_file_atomically(options.out / "comparison.md", comparison_markdown(*comparison));
  write_file_atomically(options.out / "routing.svg",
                        routing_heatmap_svg(comparison_heatmaps(*comparison)));
  files.insert(files.begin(), options.out / "comparison.md");
  files.push_back(options.out / "routing.svg");
  if (global.json) {
    print_result(comparison_json(*comparison, options.out));
  } else {
    print_result(comparison_text(*comparison) + "\n" +
                 comparison_heatmap_text(*comparison, result_terminal()) +
                 verdicts_text(options.out / "claims.json", options.seeds.size()) +
                 advice_on_arms(*comparison, arguments, global) +
                 closing_lines(files, options.out, global));
  }
  return 0;
}

AblationStudy requested_study(const AblationArguments& arguments) {
  AblationStudy study;
  if (!arguments.study.empty()) study = load_study(arguments.study);
  if (!arguments.config.empty()) study.config = arguments.config;
  if (!arguments.key.empty()) study.key = arguments.key;
  if (!arguments.values.empty()) study.values = split(arguments.values);
  if (study.key.empty()) throw InputError("--key: a config key is needed, or a --study");
  if (study.values.empty()) throw InputError("--values: are needed, as in 0,1,10, or a --study");
  if (study.config.empty()) study.config = shipped_config("paper/cdsp.yaml");
  return study;
}

int ablation(const AblationArguments& arguments, const GlobalOptions& global) {
  auto options = shared_options<AblationOptions>(arguments);
  options.study = requested_study(arguments);
  if (options.out.empty()) options.out = fs::path("runs") / ("ablation-" + options.study.key);
  if (arguments.dry_run) return show_plan(plan_ablation(options), options.jobs, global);
  options.stop = &note_stop_signals();
  const auto observer = queue_observer(global);
  const auto result = run_ablation(options, launch_on_devices(launch_processes()), *observer);
  if (!result) return stopped(global);

  std::vector<fs::path> files = write_ablation(*result, options.out);
  files.insert(files.begin(), options.out / "ablation.md");
  write_file_atomically(files.front(), ablation_markdown(*result));
  if (global.json) {
    print_result(ablation_json(*result, options.out));
  } else {
    print_result(ablation_text(*result, result_terminal()) +
                 closing_lines(files, options.out, global));
  }
  return 0;
}

void add_queue_options(CLI::App& command, QueueArguments& arguments, const std::string& out_help) {
  command.add_option("--seeds", arguments.seeds, "Seeds, as in 0,3,5..9")
      ->capture_default_str()
      ->type_name("LIST");
  add_set_option(command, arguments.overrides);
  command.add_option("--out", arguments.out, out_help)
      ->capture_default_str()
      ->type_name("DIR")
      ->check(not_empty());
  command
      .add_option("--from", arguments.from,
                  "Finished runs to use where --out has none: run folders, or folders of runs")
      ->type_name("DIR");
  command
      .add_option(
          "--jobs", arguments.jobs,
          "Runs side by side, the cores shared among them; auto = one a core, on a GPU eight where "
          "its steps are graphs, else one")
      ->capture_default_str()
      ->type_name("N");
  command.add_flag("--dry-run", arguments.dry_run,
                   "Print what would be trained, continued and reused, and do nothing");
}

void add_baselines(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "baselines", "The arms of a suite: trains what is missing, then tables, claims, experiments");
  command->footer(
      "Finished runs in --out are taken as they are, unfinished ones continued; a run of another "
      "config, data or program version is an error that names the difference.\n\n"
      "Example: three seeds on images that the program draws itself; the paper with its controls\n"
      "  cdsp compare baselines --suite configs/smoke --seeds 0..2 --out runs/smoke\n"
      "  cdsp compare baselines --suite configs/paper-controls.yaml --seeds 0..9 --dry-run\n"
      "Four of its arms, which are those that the claims C1 to C11 need\n"
      "  cdsp compare baselines --suite configs/paper-controls.yaml --arms "
      "baseline,blind,cdsp,cdsp-no-conflict --seeds 0..9");
  auto arguments = std::make_shared<CompareArguments>();
  arguments->out = "runs/compare";
  command
      ->add_option("--suite", arguments->suite,
                   "Folder of configs, each *.yaml an arm named after its file (also one that "
                   "others name as their base), or a file that lists arms")
      ->capture_default_str()
      ->type_name("DIR|FILE");
  command
      ->add_option("--arms", arguments->arms,
                   "Arms of the suite, separated by commas (default: all)")
      ->type_name("LIST");
  add_queue_options(*command, *arguments, "Folder of the runs and the tables");
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return compare_baselines(*arguments, global); };
  });
}

void add_ablation(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "ablation", "One config with one key at several values: separation, sparsity, accuracy");
  command->footer(
      "Example:\n"
      "  cdsp compare ablation --key conflict.lambda --values 0,1,10,100 --config "
      "configs/smoke/cdsp.yaml --out runs/lambda\n"
      "  cdsp compare ablation --study configs/ablations/lambda.yaml --seeds 0..4");
  auto arguments = std::make_shared<AblationArguments>();
  command
      ->add_option("--study", arguments->study,
                   "Study file (YAML) with config, key and values; the options here go on top")
      ->type_name("FILE");
  command
      ->add_option("--config", arguments->config,
                   "Config file (YAML) (default: configs/paper/cdsp.yaml, or where the working "
                   "directory has none the one installed with this program)")
      ->type_name("FILE");
  command->add_option("--key", arguments->key, "The config key")->type_name("KEY");
  command->add_option("--values", arguments->values, "Its values, separated by commas")
      ->type_name("LIST");
  add_queue_options(*command, *arguments,
                    "Folder of the runs and the tables (default: runs/ablation-KEY)");
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return ablation(*arguments, global); };
  });
}

}  // namespace

void add_compare(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("compare", "Train and tabulate several arms or values");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp compare baselines --suite configs/smoke --out runs/smoke");
  add_baselines(*command, global, action);
  add_ablation(*command, global, action);
}

}  // namespace cdsp::app
