// cdsp bench epoch: where an epoch's wall time goes.
#include "experiment/bench_epoch.h"

#include <memory>

#include <nlohmann/json.hpp>

#include "app/bench_commands.h"
#include "app/bench_options.h"
#include "app/options.h"
#include "app/output.h"
#include "report/text_table.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {

using Json = nlohmann::ordered_json;

struct EpochArguments {
  std::vector<std::string> variants = {"baseline", "cdsp"}, overrides;
  EpochBenchRequest request;
};

int run_epoch(const EpochArguments& arguments, const GlobalOptions& global) {
  EpochBenchRequest request = arguments.request;
  request.variants = spelled("--variant", arguments.variants, kBenchVariants);
  const Config config =
      bench_config(arguments.overrides, {{"train.device", "the benchmark is the CPU's"},
                                         {"train.epochs", "it is one, --repeats times"},
                                         {"train.max_steps", "use --images"}});
  const auto results = bench_epoch(config, request);

  Json json = Json::array();
  TextTable table({"variant", "images", "epoch ms", "steps", "data", "metrics", "logging",
                   "evaluation", "files", "data, metrics, logging", "evaluation's speed"});
  for (const EpochBenchResult& result : results) {
    json.push_back({{"variant", result.variant},
                    {"images", result.images},
                    {"test_images", result.test_images},
                    {"steps", result.steps},
                    {"batch", result.batch},
                    {"threads", result.threads},
                    {"epoch_ms", result.epoch_ms},
                    {"steps_ms", result.steps_ms},
                    {"data_ms", result.data_ms},
                    {"metrics_ms", result.metrics_ms},
                    {"logging_ms", result.logging_ms},
                    {"evaluation_ms", result.evaluation_ms},
                    {"files_ms", result.files_ms},
                    {"overhead_percent", result.overhead_percent},
                    {"evaluation_speed", result.evaluation_speed}});
    const auto ms = [](double value) { return fixed_number(value, 1); };
    table.add_row({result.variant, std::to_string(result.images), ms(result.epoch_ms),
                   ms(result.steps_ms), ms(result.data_ms), ms(result.metrics_ms),
                   ms(result.logging_ms), ms(result.evaluation_ms), ms(result.files_ms),
                   fixed_number(result.overhead_percent, 2) + " %",
                   fixed_number(result.evaluation_speed, 2) + " x"});
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  print_result(table.text() + "\nMilliseconds of one epoch of a run, median of " +
               std::to_string(request.repeats) +
               ". Data and metrics are part of the steps and measured apart from them; logging is "
               "measured inside the run. The share is of the whole epoch; evaluation's speed is in "
               "training's images/s. Reading image files is no part of an epoch.\n");
  return 0;
}

}  // namespace

void add_bench_epoch(CLI::App& bench, const GlobalOptions& global, Action& action) {
  auto* command = bench.add_subcommand(
      "epoch", "Time an epoch of a run: steps, data, metrics, logging, evaluation, files");
  command->footer("Example:\n  cdsp bench epoch --variant cdsp --images 12000");
  auto arguments = std::make_shared<EpochArguments>();
  EpochBenchRequest& request = arguments->request;
  add_list(*command, "--variant", arguments->variants, "baseline, blind, cdsp");
  add_number(*command, "--images", request.images, "Training images, all tasks together", 1,
             1 << 24);
  add_number(*command, "--test-images", request.test_images, "Test images, all tasks together", 1,
             1 << 24);
  add_number(*command, "--batch", request.batch, "Images per step", 1, 1 << 20);
  add_number(*command, "--threads", request.threads, "CPU threads; 0 = all cores", 0,
             most_threads());
  add_number(*command, "--repeats", request.repeats, "Epochs measured; the median counts", 1,
             1 << 20);
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return run_epoch(*arguments, global); };
  });
}

}  // namespace cdsp::app
