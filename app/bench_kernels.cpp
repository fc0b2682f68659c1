// cdsp bench kernels: every fused kernel alone against the reference path.
#include "experiment/bench_kernels.h"

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "app/bench_commands.h"
#include "app/bench_options.h"
#include "app/options.h"
#include "app/output.h"
#include "experiment/kernel_cases.h"
#include "report/text_table.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {

using Json = nlohmann::ordered_json;

struct KernelArguments {
  std::vector<std::string> dtypes = {"float32"}, overrides;
  KernelBenchRequest request;
};

/// Throws InputError for a kernel that there is not.
void check_kernels(const std::vector<std::string>& asked) {
  const std::vector<std::string> names = kernel_names();
  for (const std::string& name : asked) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::string allowed;
    for (const std::string& known : names) allowed += (allowed.empty() ? "" : ", ") + known;
    throw InputError("--kernel: found '" + name + "'; allowed: " + allowed);
  }
}

int run_kernels(const KernelArguments& arguments, const GlobalOptions& global) {
  KernelBenchRequest request = arguments.request;
  check_kernels(request.kernels);
  request.dtypes = spelled("--dtype", arguments.dtypes, kBenchDTypes);
  const Config config =
      bench_config(arguments.overrides,
                   {{"model.dtype", "use --dtype"}, {"train.engine", "both engines are measured"}});
  const auto results = bench_kernels(config, request);

  Json json = Json::array();
  TextTable table(
      {"kernel", "pass", "shape", "threads", "dtype", "reference ms", "fused ms", "times faster"});
  for (const KernelBenchResult& result : results) {
    json.push_back({{"kernel", result.kernel},
                    {"pass", result.pass},
                    {"shape", result.shape},
                    {"batch", result.batch},
                    {"threads", result.threads},
                    {"dtype", result.dtype},
                    {"reference_ms", result.reference_ms},
                    {"fused_ms", result.fused_ms},
                    {"speedup", result.speedup}});
    table.add_row({result.kernel, result.pass, result.shape, std::to_string(result.threads),
                   result.dtype, fixed_number(result.reference_ms, 3),
                   fixed_number(result.fused_ms, 3), fixed_number(result.speedup, 2)});
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  print_result(table.text() + "\nms: a call, median of " + std::to_string(request.repeats) +
               " measurements of " + std::to_string(request.steps) +
               " calls each, both engines by turns\n");
  return 0;
}

}  // namespace

void add_bench_kernels(CLI::App& bench, const GlobalOptions& global, Action& action) {
  auto* command = bench.add_subcommand(
      "kernels", "Time each fused kernel against the reference path, forward and backward");
  command->footer(
      "The conflict game and AdamW have no backward pass.\n\n"
      "Example:\n  cdsp bench kernels --kernel cdsp_layer,attention_block --threads 1,2");
  auto arguments = std::make_shared<KernelArguments>();
  KernelBenchRequest& request = arguments->request;
  add_list(*command, "--kernel", request.kernels, "Names of kernels (default: all)");
  add_numbers(*command, "--batch", request.batches, "Images", 1, 1 << 20);
  add_numbers(*command, "--threads", request.threads, "CPU threads; 0 = all cores", 0,
              most_threads());
  add_list(*command, "--dtype", arguments->dtypes, "float32, float64");
  add_measurement_options(*command, request.steps, request.repeats);
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return run_kernels(*arguments, global); };
  });
}

}  // namespace cdsp::app
