// cdsp blind-eval: what a trained network does when the task is told, withheld, or told wrongly.
#include "experiment/blind_eval.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/run_directory.h"
#include "report/terminal_heatmap.h"
#include "report/text_table.h"

namespace cdsp::app {
namespace {
namespace fs = std::filesystem;

struct BlindEvalArguments {
  std::string run, checkpoint, config, device, out;
  std::vector<std::string> overrides;
  std::vector<std::string> protocols = {"all"};
};

TrainedModel requested_model(const BlindEvalArguments& arguments) {
  std::vector<std::string> overrides = arguments.overrides;
  override_key(overrides, "--device", "train.device", arguments.device);
  if (!arguments.run.empty()) {
    TrainedModel model = model_of_run(arguments.run);
    model.config = load_config(fs::path(arguments.run) / "config.yaml", overrides);
    return model;
  }
  if (arguments.checkpoint.empty()) {
    throw InputError("blind-eval: --run, or --checkpoint with --config, is needed");
  }
  if (arguments.config.empty()) throw InputError("--checkpoint: needs --config too");
  return {load_config(arguments.config, overrides), arguments.checkpoint};
}

std::vector<Protocol> requested_protocols(const std::vector<std::string>& names, int64_t tasks) {
  std::vector<Protocol> protocols;
  const auto add = [&protocols](const Protocol& added) {
    for (const Protocol& protocol : protocols) {
      if (protocol.name() == added.name()) return;
    }
    protocols.push_back(added);
  };
  for (const std::string& name : names) {
    if (name == "all") {
      for (const Protocol& protocol : all_protocols(tasks)) add(protocol);
    } else {
      add(parse_protocol(name, tasks));
    }
  }
  return protocols;
}

/// Other data, or a run not yet at its end, are no mistake, but the reader must know.
void warn_about(const fs::path& run, const Dataset& data) {
  const auto record = read_run_record(run);
  if (!record) return;
  if (record->data_fingerprint != data.fingerprint) {
    spdlog::warn("{}: was trained with other data (fingerprint {}) than evaluated here ({})",
                 run.string(), record->data_fingerprint, data.fingerprint);
  }
  if (record->status != "finished") {
    spdlog::warn("{}: the run is not finished ({}); its last checkpoint is evaluated", run.string(),
                 record->status);
  }
}

/// What an evaluation in the same folder had and this one has not is about to go.
void warn_of_replacing(const fs::path& out, const std::vector<Evaluation>& evaluations) {
  const fs::path file = out / "blind_eval" / "blind_eval.json";
  if (!fs::exists(file)) return;
  const auto before = nlohmann::json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!before.is_object() || !before.contains("protocols")) return;
  std::string lost;
  for (const auto& [name, values] : before["protocols"].items()) {
    const bool is_kept =
        std::any_of(evaluations.begin(), evaluations.end(),
                    [&name = name](const Evaluation& e) { return e.protocol.name() == name; });
    if (!is_kept) lost += (lost.empty() ? "" : ", ") + name;
  }
  if (!lost.empty()) spdlog::warn("{}: replaced; it also had {}", file.string(), lost);
}

/// Weights that give no finite loss are no result.
void warn_of_non_finite(const std::vector<Evaluation>& evaluations) {
  for (const Evaluation& evaluation : evaluations) {
    if (std::isfinite(evaluation.total_loss())) continue;
    spdlog::warn("protocol {}: the loss is not finite; the weights are spoilt",
                 evaluation.protocol.name());
  }
}

TextTable results_table(const std::vector<Evaluation>& evaluations,
                        const std::vector<std::string>& tasks) {
  std::vector<std::string> heading = {"protocol", "accuracy %", "loss"};
  heading.insert(heading.end(), tasks.begin(), tasks.end());
  heading.insert(heading.end(), {"same route %", "separation"});
  TextTable table(heading);
  for (const Evaluation& evaluation : evaluations) {
    std::vector<std::string> row = {evaluation.protocol.name(),
                                    per_cent(evaluation.total_accuracy()),
                                    fixed_number(evaluation.total_loss(), 4)};
    for (const double accuracy : evaluation.accuracy) row.push_back(per_cent(accuracy));
    double same = 0.0, images = 0.0;
    for (size_t task = 0; task < tasks.size(); ++task) {
      same += evaluation.same_route.front()[task] * evaluation.images[task];
      images += evaluation.images[task];
    }
    row.push_back(per_cent(same / images, 1));
    row.push_back(fixed_number(separation_index(evaluation.routing.front()), 3));
    table.add_row(row);
  }
  return table;
}

std::string report(const std::vector<Evaluation>& evaluations,
                   const std::vector<std::string>& tasks) {
  std::string text = results_table(evaluations, tasks).text() +
                     "\nSame route: tokens of layer 0 with the same experts as under " +
                     evaluations.front().protocol.name() +
                     ".\nLayer 0, share of each task's expert selections:\n";
  double largest = 0.0;
  for (const Evaluation& evaluation : evaluations) {
    largest = std::max(largest, largest_share(evaluation.routing.front()));
  }
  for (const Evaluation& evaluation : evaluations) {
    text += "\n" + evaluation.protocol.name() + "\n" +
            terminal_heatmap(evaluation.routing.front(), tasks, largest, result_terminal());
  }
  return text;
}

int blind_eval(const BlindEvalArguments& arguments, const GlobalOptions& global) {
  const TrainedModel model = requested_model(arguments);
  const Dataset data = load_dataset(model.config);
  const auto protocols = requested_protocols(arguments.protocols, data.test.tasks());
  if (!arguments.run.empty()) warn_about(arguments.run, data);
  const auto evaluations = blind_evaluate(model, data, protocols);
  // Without --out: into the run's folder, or for bare weights into the working directory.
  const fs::path out = !arguments.out.empty()  ? fs::path(arguments.out)
                       : arguments.run.empty() ? fs::path(".")
                                               : fs::path(arguments.run);
  warn_of_non_finite(evaluations);
  warn_of_replacing(out, evaluations);
  const fs::path file = write_blind_eval(out, model, data, evaluations);
  if (global.json) {
    print_result(blind_eval_json(model, data, evaluations));
    spdlog::info("{} written", file.string());
  } else {
    print_result(report(evaluations, data.task_names) + "\nwritten: " + file.string() + "\n");
  }
  return 0;
}

}  // namespace

void add_blind_eval(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand(
      "blind-eval", "Evaluate a trained network told the task, not told it, or told a wrong one");
  command->footer(
      "Protocols: informed (the true task), blind (none), forced-K (task K for every image), "
      "all.\n\n"
      "Example:\n"
      "  cdsp blind-eval --run runs/first\n"
      "  cdsp blind-eval --checkpoint model.safetensors --config configs/paper/cdsp.yaml "
      "--protocol blind --out results");
  auto arguments = std::make_shared<BlindEvalArguments>();
  auto* run = command->add_option("--run", arguments->run, "A run's folder")->type_name("DIR");
  auto* checkpoint =
      command->add_option("--checkpoint", arguments->checkpoint, "Weights (.safetensors)")
          ->type_name("FILE");
  auto* config =
      command->add_option("--config", arguments->config, "Config file (YAML) for --checkpoint")
          ->type_name("FILE");
  run->excludes(checkpoint)->excludes(config);
  add_set_option(*command, arguments->overrides);
  command
      ->add_option("--protocol", arguments->protocols,
                   "Protocols, separated by commas; the first one is what the others are compared "
                   "with (default: all)")
      ->type_name("NAME")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_device_option(*command, arguments->device);
  command
      ->add_option(
          "--out", arguments->out,
          "Folder that blind_eval/ goes into (default: the run's folder; with --checkpoint the "
          "working directory)")
      ->type_name("DIR")
      ->check(not_empty());
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return blind_eval(*arguments, global); };
  });
}

}  // namespace cdsp::app
