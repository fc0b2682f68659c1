// cdsp train: one run from a config to a finished folder.
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
#include "base/error.h"
#include "experiment/run_directory.h"
#include "kernels/engine.h"
#include "report/text_table.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {
namespace fs = std::filesystem;

struct TrainArguments {
  std::string config, out, seed, device, threads;
  std::vector<std::string> overrides;
  bool resume = false;
};

Config requested_config(const TrainArguments& arguments) {
  std::string file = arguments.config;
  if (file.empty()) {
    if (!arguments.resume) {
      throw InputError("--config: a config file is needed, configs/paper/cdsp.yaml for example");
    }
    const fs::path saved = fs::path(arguments.out) / "config.yaml";
    if (!fs::exists(saved)) {
      throw InputError(arguments.out + ": holds no run to resume (no config.yaml)");
    }
    file = saved.string();
  }
  std::vector<std::string> overrides = arguments.overrides;
  override_key(overrides, "--seed", "seed", arguments.seed);
  override_key(overrides, "--device", "train.device", arguments.device);
  override_key(overrides, "--threads", "train.threads", arguments.threads);
  return load_config(file, overrides);
}

/// Sums are rounded in another order on another device, and by the reference engine on another
/// number of threads.
void warn_of_other_rounding(const fs::path& run, const Config& config) {
  const auto before = read_run_record(run);
  if (!before) return;
  const int64_t threads = use_threads(config.train.threads);
  const std::string device = resolve_device(config.train.device).str();
  const bool threads_matter = device == "cpu" && before->engine == name_of(Engine::kReference);
  if (before->device == device && (!threads_matter || before->threads == threads)) return;
  spdlog::warn(
      "going on with {} threads on {}, begun with {} on {}: the results will agree with an "
      "uninterrupted run's up to rounding only",
      threads, device, before->threads, before->device);
}

/// Accuracies and losses of summary.json, a column for each task.
std::string summary_text(const nlohmann::json& summary) {
  std::vector<std::string> heading = {""};
  for (const auto& task : summary.at("tasks")) heading.push_back(task);
  heading.emplace_back("all");
  TextTable table(heading);
  const size_t tasks = summary.at("tasks").size();
  const auto add = [&](const char* name, const nlohmann::json& of_tasks, const nlohmann::json& all,
                       double scale, int decimals) {
    std::vector<std::string> row = {name};
    for (size_t task = 0; task <= tasks; ++task) {
      const nlohmann::json& value = task < tasks ? of_tasks.at(task) : all;
      row.push_back(value.is_null() ? "-" : fixed_number(scale * value.get<double>(), decimals));
    }
    table.add_row(row);
  };
  const auto &train = summary.at("train"), &test = summary.at("test");
  add("train accuracy %", train.at("task_accuracy"), train.at("accuracy"), 100, 2);
  add("test accuracy %", test.at("task_accuracy"), test.at("accuracy"), 100, 2);
  add("test loss", test.at("task_loss"), test.at("loss"), 1, 4);
  return table.text();
}

void print_summary(const fs::path& out, const GlobalOptions& global) {
  const fs::path file = out / "summary.json";
  nlohmann::ordered_json summary;
  std::string text;
  try {
    summary = nlohmann::ordered_json::parse(read_file(file));
    text = summary_text(summary);
  } catch (const nlohmann::json::exception& error) {
    throw InputError(file.string() + ": is not what a finished run writes: " + error.what());
  }
  if (global.json) {
    summary["run"] = out.string();
    print_result(summary);
    return;
  }
  print_result(text + "\nrun: " + out.string() + " (" + file.string() +
               ", metrics.csv, epochs.csv, routing/, checkpoints/last/)\nnext: " +
               command_text({global.command_line.front(), "blind-eval", "--run", out.string()}) +
               "\n");
}

int train(const TrainArguments& arguments, const GlobalOptions& global) {
  if (arguments.resume && arguments.out.empty()) {
    throw InputError("--resume: --out must name the folder of the run to go on with");
  }
  const Config config = requested_config(arguments);
  const fs::path out = arguments.out.empty()
                           ? fs::path("runs") / (std::string(to_string(config.variant)) + "-seed" +
                                                 std::to_string(config.seed))
                           : fs::path(arguments.out);
  // What can be refused at once is refused before the data are read.
  RunDirectory::reject_unusable(
      out, arguments.resume ? RunDirectory::Mode::kResume : RunDirectory::Mode::kNew);
  resolve_device(config.train.device);
  if (arguments.resume) warn_of_other_rounding(out, config);
  const Dataset data = load_dataset(config);
  if (arguments.resume) require_resumable(out, config, data.fingerprint);

  const auto observer = make_observer(global);
  const std::atomic<int>& stop = note_stop_signals();
  if (train_run(config, data, {out, arguments.resume, &stop}, *observer) == RunEnd::kInterrupted) {
    spdlog::warn(
        "stopped before the end; go on with: {}",
        command_text({global.command_line.front(), "train", "--resume", "--out", out.string()}));
    return exit_code_of_stop();
  }
  print_summary(out, global);
  return 0;
}

}  // namespace

void add_train(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("train", "Train one variant and write the run's folder");
  command->footer(
      "Ctrl-C finishes the step at work and writes a checkpoint to go on from.\n\n"
      "Example: a short CDSP run on images that the program draws itself, then the rest of it\n"
      "  cdsp train --config configs/smoke/cdsp.yaml --seed 1 --out runs/first\n"
      "  cdsp train --resume --out runs/first");
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("--config", arguments->config, "Config file (YAML)")->type_name("FILE");
  add_set_option(*command, arguments->overrides);
  command
      ->add_option("--out", arguments->out,
                   "The run's folder, new or empty (default: runs/VARIANT-seedN)")
      ->type_name("DIR")
      ->check(not_empty());
  command->add_option("--seed", arguments->seed, "Seed (default: as the config says)")
      ->type_name("N")
      ->check(not_empty());
  add_device_option(*command, arguments->device);
  command->add_option("--threads", arguments->threads, "CPU threads; 0 = all cores")
      ->type_name("N")
      ->check(not_empty());
  command->add_flag("--resume", arguments->resume,
                    "Go on with the run in --out, by its own config.yaml");
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return train(*arguments, global); };
  });
}

}  // namespace cdsp::app
