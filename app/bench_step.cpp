// cdsp bench step: milliseconds a training step or a batch of an evaluation, beside its floor.
#include "experiment/bench_step.h"

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

struct StepArguments {
  std::vector<std::string> variants = {"baseline", "cdsp"}, phases = {"train"},
                           dtypes = {"float32"}, overrides;
  StepBenchRequest request;
};

Json step_json(const StepBenchResult& result) {
  Json json = {{"variant", result.variant},
               {"batch", result.batch},
               {"threads", result.threads},
               {"dtype", result.dtype},
               {"engine", result.engine},
               {"device", result.device},
               {"precision", result.precision},
               {"phase", result.phase},
               {"ms_per_step", result.ms_per_step},
               {"ms_fastest", result.ms_fastest},
               {"ms_slowest", result.ms_slowest},
               {"ms_of_rounds", result.ms_of_rounds},
               {"images_per_s", result.images_per_s},
               {"peak_memory_bytes", result.peak_memory_bytes}};
  if (!result.step.empty()) json["step"] = result.step;
  if (result.floor) {
    json["floor_ms"] = result.floor->ms;
    json["floor_images_per_s"] = result.floor->images_per_s;
    json["floor_gflop_per_s"] = result.floor->gflop_per_s;
    json["gflop_per_step"] = result.floor->gflop_per_step;
    json["percent_of_floor"] = result.floor->percent_reached;
  }
  if (result.times_training_speed) json["times_training_speed"] = *result.times_training_speed;
  return json;
}

std::vector<std::string> step_row(const StepBenchResult& result) {
  const auto& floor = result.floor;
  return {result.variant,
          result.phase,
          std::to_string(result.batch),
          std::to_string(result.threads),
          result.dtype,
          result.engine,
          result.device,
          (result.step.empty() ? "-" : result.step) +
              (result.precision == "full" ? "" : ", " + result.precision),
          fixed_number(result.ms_per_step, 2),
          fixed_number(result.ms_fastest, 2),
          fixed_number(result.ms_slowest, 2),
          fixed_number(result.images_per_s, 0),
          floor ? fixed_number(floor->ms, 2) : "-",
          floor ? fixed_number(floor->percent_reached, 0) + " %" : "-"};
}

int run_step(const StepArguments& arguments, const GlobalOptions& global) {
  StepBenchRequest request = arguments.request;
  request.variants = spelled("--variant", arguments.variants, kBenchVariants);
  request.phases = spelled("--phase", arguments.phases, kBenchPhases);
  request.dtypes = spelled("--dtype", arguments.dtypes, kBenchDTypes);
  std::vector<std::string> device;  // only to have its spelling checked
  override_key(device, "--device", "train.device", request.device);
  const Config config =
      bench_config(arguments.overrides, {{"model.dtype", "use --dtype"},
                                         {"train.device", "use --device"},
                                         {"train.epochs", "use --steps and --repeats"},
                                         {"train.max_steps", "use --steps and --repeats"},
                                         {"train.eval_batch_size", "use --batch"}});
  const auto results = cdsp::bench_step(config, request);

  Json json = Json::array();
  TextTable table({"variant", "phase", "batch", "threads", "dtype", "engine", "device", "step",
                   "ms/step", "fastest", "slowest", "images/s", "floor ms", "reached"});
  std::string evaluations;
  for (const StepBenchResult& result : results) {
    json.push_back(step_json(result));
    table.add_row(step_row(result));
    if (!result.times_training_speed) continue;
    evaluations += "Evaluating " + result.variant + ", batch " + std::to_string(result.batch) +
                   ", threads " + std::to_string(result.threads) + ", " + result.dtype + ": " +
                   fixed_number(*result.times_training_speed, 2) + " times training's images/s.\n";
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  const double megabytes = static_cast<double>(results.back().peak_memory_bytes) / 1e6;
  print_result(table.text() + "\nms/step: median of " + std::to_string(request.repeats) +
               " measurements of " + std::to_string(request.steps) +
               " steps each; floor: the step's matrix products alone, measured by turns with it; "
               "reached: floor over step; peak memory of the process: " +
               fixed_number(megabytes, 0) + " MB\n" + evaluations);
  return 0;
}

}  // namespace

void add_bench_step(CLI::App& bench, const GlobalOptions& global, Action& action) {
  auto* command = bench.add_subcommand(
      "step", "Time one training step of the paper's config on synthetic images");
  command->footer(
      "Options that take a list measure every combination, in turn. Phase eval times a batch of an "
      "evaluation.\n\n"
      "Example:\n  cdsp bench step --variant cdsp --batch 64,128 --threads 1,2 --json\n"
      "  cdsp bench step --phase train,eval");
  auto arguments = std::make_shared<StepArguments>();
  StepBenchRequest& request = arguments->request;
  add_list(*command, "--variant", arguments->variants, "baseline, blind, cdsp");
  add_list(*command, "--phase", arguments->phases, "train, eval");
  add_numbers(*command, "--batch", request.batches, "Images per step", 1, 1 << 20);
  add_numbers(*command, "--threads", request.threads, "CPU threads; 0 = all cores", 0,
              most_threads());
  add_list(*command, "--dtype", arguments->dtypes, "float32, float64");
  request.device = "auto";
  command->add_option("--device", request.device, "auto, cpu, cuda or cuda:i")
      ->capture_default_str()
      ->type_name("DEVICE");
  add_measurement_options(*command, request.steps, request.repeats);
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return run_step(*arguments, global); };
  });
}

}  // namespace cdsp::app
