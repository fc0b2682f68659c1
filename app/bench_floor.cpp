// cdsp bench gemm-floor: what a step's matrix products alone take.
#include "experiment/bench_floor.h"

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

constexpr std::array<ProductForm, 3> kForms = {ProductForm::kEngine, ProductForm::kDense,
                                               ProductForm::kSelected};

struct FloorArguments {
  std::vector<std::string> variants = {"baseline", "cdsp"}, phases = {"train"},
                           dtypes = {"float32"}, forms = {"engine", "dense", "selected"}, overrides;
  bool shows_parts = false;
  FloorRequest request;
};

Json parts_json(const FloorResult& result) {
  Json parts = Json::array();
  for (const FloorPart& part : result.parts) {
    Json products = Json::array();
    for (const ProductGroup& group : result.products) {
      if (group.part != part.part) continue;
      for (const MatrixProduct& p : group.products) {
        products.push_back({{"product", p.name},
                            {"rows", p.rows},
                            {"columns", p.columns},
                            {"inner", p.inner},
                            {"tiles", group.tiles}});
      }
    }
    parts.push_back({{"part", part.part},
                     {"gflop_per_step", part.flops / 1e9},
                     {"ms_per_step", part.ms},
                     {"products", products}});
  }
  return parts;
}

Json floor_json(const FloorResult& result) {
  return {{"variant", result.variant},
          {"phase", result.phase},
          {"form", result.form},
          {"batch", result.batch},
          {"threads", result.threads},
          {"dtype", result.dtype},
          {"gflop_per_step", result.flops / 1e9},
          {"mflop_per_image", result.flops / 1e6 / static_cast<double>(result.batch)},
          {"ms_per_step", result.ms_per_step},
          {"ms_fastest", result.ms_fastest},
          {"ms_slowest", result.ms_slowest},
          {"images_per_s", result.images_per_s},
          {"gflop_per_s", result.gflop_per_s},
          {"parts", parts_json(result)}};
}

std::string parts_text(const FloorResult& result) {
  TextTable table({"part", "MFLOP/image", "ms/step", "GFLOP/s"});
  for (const FloorPart& part : result.parts) {
    table.add_row({part.part, fixed_number(part.flops / 1e6 / static_cast<double>(result.batch), 2),
                   fixed_number(part.ms, 2), fixed_number(part.flops / part.ms / 1e6, 1)});
  }
  return "\n" + result.variant + ", " + result.phase + ", form " + result.form + ", batch " +
         std::to_string(result.batch) + ", threads " + std::to_string(result.threads) + ", " +
         result.dtype + "\n" + table.text();
}

int run_floor(const FloorArguments& arguments, const GlobalOptions& global) {
  FloorRequest request = arguments.request;
  request.variants = spelled("--variant", arguments.variants, kBenchVariants);
  request.phases = spelled("--phase", arguments.phases, kBenchPhases);
  request.dtypes = spelled("--dtype", arguments.dtypes, kBenchDTypes);
  request.forms = spelled("--form", arguments.forms, kForms);
  const Config config =
      bench_config(arguments.overrides, {{"model.dtype", "use --dtype"},
                                         {"train.device", "the floor is the CPU's"},
                                         {"train.eval_batch_size", "use --batch"}});
  const auto results = bench_floor(config, request);

  Json json = Json::array();
  TextTable table({"variant", "phase", "form", "batch", "threads", "dtype", "MFLOP/image",
                   "ms/step", "fastest", "slowest", "images/s", "GFLOP/s"});
  std::string parts;
  for (const FloorResult& result : results) {
    json.push_back(floor_json(result));
    table.add_row({result.variant, result.phase, result.form, std::to_string(result.batch),
                   std::to_string(result.threads), result.dtype,
                   fixed_number(result.flops / 1e6 / static_cast<double>(result.batch), 2),
                   fixed_number(result.ms_per_step, 2), fixed_number(result.ms_fastest, 2),
                   fixed_number(result.ms_slowest, 2), fixed_number(result.images_per_s, 0),
                   fixed_number(result.gflop_per_s, 1)});
    if (arguments.shows_parts) parts += parts_text(result);
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  print_result(
      table.text() + "\nms/step: median of " + std::to_string(request.repeats) +
      " measurements of " + std::to_string(request.steps) +
      " steps each. engine: as the fused engine multiplies; dense: every token through the "
      "whole backbone or all experts; selected: only what each expert owns.\n" +
      parts);
  return 0;
}

}  // namespace

void add_bench_floor(CLI::App& bench, const GlobalOptions& global, Action& action) {
  auto* command = bench.add_subcommand(
      "gemm-floor", "Time the matrix products of a step alone, by the BLAS of LibTorch");
  command->footer(
      "Options that take a list measure every combination, in turn. --json lists every product.\n\n"
      "Example:\n  cdsp bench gemm-floor --variant cdsp --form engine --parts");
  auto arguments = std::make_shared<FloorArguments>();
  FloorRequest& request = arguments->request;
  add_list(*command, "--variant", arguments->variants, "baseline, blind, cdsp");
  add_list(*command, "--phase", arguments->phases, "train, eval");
  add_list(*command, "--form", arguments->forms, "engine, dense, selected");
  add_numbers(*command, "--batch", request.batches, "Images per step", 1, 1 << 20);
  add_numbers(*command, "--threads", request.threads, "CPU threads; 0 = all cores", 0,
              most_threads());
  add_list(*command, "--dtype", arguments->dtypes, "float32, float64");
  command->add_flag("--parts", arguments->shows_parts, "Also a table a setting, part by part");
  add_measurement_options(*command, request.steps, request.repeats);
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return run_floor(*arguments, global); };
  });
}

}  // namespace cdsp::app
