// cdsp bench scaling: how a step's cost grows with batch, experts, d_base, layers and threads.
#include "experiment/bench_scaling.h"

#include <cmath>
#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>

#include "app/bench_commands.h"
#include "app/bench_options.h"
#include "app/options.h"
#include "app/output.h"
#include "base/atomic_file.h"
#include "report/scaling_charts.h"
#include "report/text_table.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct ScalingArguments {
  std::vector<std::string> variants = {"baseline", "cdsp"}, overrides,
                           axes = {"batch", "experts", "d_base", "layers", "threads"};
  std::vector<int64_t> batches = {16, 32, 64, 128, 256, 512, 1024}, experts = {2, 4, 8, 16, 32, 64},
                       d_bases = {64, 128, 256, 512, 1024, 2048}, layers = {1, 2, 4, 8}, threads;
  std::string out;
  ScalingRequest request;
};

/// 1, 2, 4, ... up to the cores, which come last.
std::vector<int64_t> doubling_threads() {
  const int64_t cores = cores_of_this_process();
  std::vector<int64_t> counts;
  for (int64_t count = 1; count < cores; count *= 2) counts.push_back(count);
  counts.push_back(cores);
  return counts;
}

const std::vector<int64_t>& values_of(const ScalingArguments& arguments, ScalingAxis axis) {
  switch (axis) {
    case ScalingAxis::kBatch:
      return arguments.batches;
    case ScalingAxis::kExperts:
      return arguments.experts;
    case ScalingAxis::kDBase:
      return arguments.d_bases;
    case ScalingAxis::kLayers:
      return arguments.layers;
    case ScalingAxis::kThreads:
      break;
  }
  return arguments.threads;
}

ScalingRequest request_of(const ScalingArguments& arguments) {
  ScalingRequest request = arguments.request;
  request.variants = spelled("--variant", arguments.variants, kBenchVariants);
  for (const ScalingAxis axis : spelled("--axis", arguments.axes, kScalingAxes)) {
    ScalingSweep sweep{axis, values_of(arguments, axis)};
    if (axis == ScalingAxis::kThreads && sweep.values.empty()) sweep.values = doubling_threads();
    for (size_t i = 1; i < sweep.values.size(); ++i) {
      if (sweep.values[i] > sweep.values[i - 1]) continue;
      throw InputError("bench scaling, " + std::string(to_string(axis)) + ": found " +
                       std::to_string(sweep.values[i]) + " after " +
                       std::to_string(sweep.values[i - 1]) + "; the values must rise");
    }
    request.sweeps.push_back(sweep);
  }
  return request;
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json point_json(const ScalingPoint& point) {
  const StepBenchResult& step = point.step;
  return {{"axis", to_string(point.axis)},
          {"value", point.value},
          {"variant", step.variant},
          {"batch", step.batch},
          {"threads", step.threads},
          {"dtype", step.dtype},
          {"engine", step.engine},
          {"ms_per_step", step.ms_per_step},
          {"ms_fastest", step.ms_fastest},
          {"ms_slowest", step.ms_slowest},
          {"images_per_s", step.images_per_s},
          {"gflop_per_step", step.floor->gflop_per_step},
          {"floor_ms", step.floor->ms},
          {"percent_of_floor", step.floor->percent_reached},
          {"time_exponent", number_or_null(point.time_exponent)},
          {"arithmetic_exponent", number_or_null(point.arithmetic_exponent)}};
}

/// scaling.csv and scaling_AXIS.svg in the folder, which is made where there is none.
void write_files(const fs::path& folder, const std::vector<ScalingPoint>& points,
                 const ScalingRequest& request) {
  write_file_atomically(folder / "scaling.csv", scaling_csv(points));
  for (const ScalingSweep& sweep : request.sweeps) {
    const std::string name = std::string("scaling_") + to_string(sweep.axis) + ".svg";
    write_file_atomically(folder / name, scaling_chart_svg(points, sweep.axis));
  }
}

int run_scaling(const ScalingArguments& arguments, const GlobalOptions& global) {
  const ScalingRequest request = request_of(arguments);
  const Config config =
      bench_config(arguments.overrides, {{"train.device", "scaling is the CPU's"},
                                         {"train.epochs", "use --steps and --repeats"},
                                         {"train.max_steps", "use --steps and --repeats"}});
  check_scaling(config, request);
  if (!arguments.out.empty()) {
    std::error_code error;
    fs::create_directories(arguments.out, error);
    if (error) throw InputError("--out: " + arguments.out + ": " + error.message());
  }
  const auto points = bench_scaling(config, request);
  if (!arguments.out.empty()) write_files(arguments.out, points, request);

  Json json = Json::array();
  TextTable table({"axis", "value", "variant", "ms/step", "fastest", "slowest", "images/s",
                   "GFLOP/step", "floor ms", "reached", "time's exponent", "arithmetic's"});
  for (const ScalingPoint& point : points) {
    const StepBenchResult& step = point.step;
    json.push_back(point_json(point));
    table.add_row({to_string(point.axis), std::to_string(point.value), step.variant,
                   fixed_number(step.ms_per_step, 2), fixed_number(step.ms_fastest, 2),
                   fixed_number(step.ms_slowest, 2), fixed_number(step.images_per_s, 0),
                   fixed_number(step.floor->gflop_per_step, 2), fixed_number(step.floor->ms, 2),
                   fixed_number(step.floor->percent_reached, 0) + " %",
                   fixed_number(point.time_exponent, 2),
                   fixed_number(point.arithmetic_exponent, 2)});
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  print_result(table.text() +
               "\nexponent: growth from the value before; 1 is proportional, 0 is no growth. Off "
               "their own axis: batch " +
               std::to_string(request.batch) + ", threads " +
               (request.threads == 0 ? "all cores" : std::to_string(request.threads)) + ".\n");
  return 0;
}

}  // namespace

void add_bench_scaling(CLI::App& bench, const GlobalOptions& global, Action& action) {
  auto* command = bench.add_subcommand(
      "scaling", "Time a training step along batch, experts, d_base, layers and threads");
  command->footer(
      "One axis moves at a time. On the axes experts and d_base the baseline's d_ffn is d_base / "
      "experts, the paper's rule of equal parameters. --out writes scaling.csv and a chart an "
      "axis, scaling_AXIS.svg.\n\n"
      "Example:\n  cdsp bench scaling --axis batch,d_base --out runs/scaling");
  auto arguments = std::make_shared<ScalingArguments>();
  ScalingRequest& request = arguments->request;
  add_list(*command, "--variant", arguments->variants, "baseline, blind, cdsp");
  add_list(*command, "--axis", arguments->axes, "batch, experts, d_base, layers, threads");
  add_numbers(*command, "--batches", arguments->batches, "Values of axis batch", 1, 1 << 20);
  add_numbers(*command, "--experts", arguments->experts, "Values of axis experts", 1, 1 << 12);
  add_numbers(*command, "--d-bases", arguments->d_bases, "Values of axis d_base", 1, 1 << 20);
  add_numbers(*command, "--layers", arguments->layers, "Values of axis layers", 1, 1 << 10);
  add_numbers(*command, "--thread-counts", arguments->threads,
              "Values of axis threads (default: 1, 2, 4, ... up to the cores)", 1, most_threads());
  add_number(*command, "--batch", request.batch, "Images per step on the other axes", 1, 1 << 20);
  add_number(*command, "--threads", request.threads, "CPU threads on the other axes; 0 = all cores",
             0, most_threads());
  add_measurement_options(*command, request.steps, request.repeats);
  command->add_option("--out", arguments->out, "Folder for the table and the charts")
      ->type_name("DIR")
      ->check(not_empty());
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return run_scaling(*arguments, global); };
  });
}

}  // namespace cdsp::app
