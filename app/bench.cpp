// cdsp bench: how fast this machine trains.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/options.h"
#include "app/output.h"
#include "base/error.h"
#include "experiment/bench_step.h"
#include "report/text_table.h"

namespace cdsp::app {
namespace {

struct BenchArguments {
  std::vector<std::string> variants = {"baseline", "cdsp"}, dtypes = {"float32"}, overrides;
  StepBenchRequest request;
};

constexpr std::array<Variant, 3> kVariants = {Variant::kBaseline, Variant::kBlind, Variant::kCdsp};
constexpr std::array<DType, 2> kDTypes = {DType::kFloat32, DType::kFloat64};

/// The values that the words spell; throws InputError naming those there are.
template <typename Enum, size_t Count>
std::vector<Enum> spelled(const char* option, const std::vector<std::string>& words,
                          const std::array<Enum, Count>& values) {
  std::vector<Enum> result;
  std::string allowed;
  for (const Enum value : values)
    allowed += (allowed.empty() ? "" : ", ") + std::string(to_string(value));
  for (const std::string& word : words) {
    const size_t before = result.size();
    for (const Enum value : values) {
      if (word == to_string(value)) result.push_back(value);
    }
    if (result.size() == before) {
      throw InputError(std::string(option) + ": found '" + word + "'; allowed: " + allowed);
    }
  }
  return result;
}

/// A key that the benchmark sets by itself must not seem to have been heard.
void reject_ignored(const std::vector<std::string>& overrides) {
  static const std::vector<std::pair<std::string, std::string>> own = {
      {"variant", "use --variant"},
      {"model.dtype", "use --dtype"},
      {"train.batch_size", "use --batch"},
      {"train.threads", "use --threads"},
      {"train.device", "use --device"},
      {"train.epochs", "use --steps and --repeats"},
      {"train.max_steps", "use --steps and --repeats"},
      {"data.order_file", "the benchmark draws its own images"}};
  for (const std::string& text : overrides) {
    const std::string name = text.substr(0, text.find('='));
    for (const auto& [key, instead] : own) {
      if (name == key) throw InputError("--set: " + key + ": not for a benchmark; " + instead);
    }
  }
}

nlohmann::ordered_json to_json(const StepBenchResult& result) {
  return {{"variant", result.variant},
          {"batch", result.batch},
          {"threads", result.threads},
          {"dtype", result.dtype},
          {"engine", result.engine},
          {"device", result.device},
          {"ms_per_step", result.ms_per_step},
          {"ms_fastest", result.ms_fastest},
          {"ms_slowest", result.ms_slowest},
          {"images_per_s", result.images_per_s},
          {"peak_memory_bytes", result.peak_memory_bytes}};
}

int bench_step(const BenchArguments& arguments, const GlobalOptions& global) {
  StepBenchRequest request = arguments.request;
  request.variants = spelled("--variant", arguments.variants, kVariants);
  request.dtypes = spelled("--dtype", arguments.dtypes, kDTypes);
  std::vector<std::string> overrides = arguments.overrides;
  override_key(overrides, "--device", "train.device", request.device);
  const Config config = parse_config("variant: cdsp\n", "the paper's config", overrides);
  reject_ignored(arguments.overrides);
  const auto results = cdsp::bench_step(config, request);

  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  TextTable table({"variant", "batch", "threads", "dtype", "engine", "device", "ms/step", "fastest",
                   "slowest", "images/s"});
  for (const StepBenchResult& result : results) {
    json.push_back(to_json(result));
    table.add_row({result.variant, std::to_string(result.batch), std::to_string(result.threads),
                   result.dtype, result.engine, result.device, fixed_number(result.ms_per_step, 2),
                   fixed_number(result.ms_fastest, 2), fixed_number(result.ms_slowest, 2),
                   fixed_number(result.images_per_s, 0)});
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  const double megabytes = static_cast<double>(results.back().peak_memory_bytes) / 1e6;
  print_result(table.text() + "\nms/step: median of " + std::to_string(request.repeats) +
               " measurements of " + std::to_string(request.steps) +
               " steps each; peak memory of the process: " + fixed_number(megabytes, 0) + " MB\n");
  return 0;
}

void add_step(CLI::App& parent, const GlobalOptions& global, Action& action) {
  auto* command = parent.add_subcommand(
      "step", "Time one training step of the paper's config on synthetic images");
  command->footer(
      "Options that take a list measure every combination, in turn.\n\n"
      "Example:\n  cdsp bench step --variant cdsp --batch 64,128 --threads 1,2 --json");
  auto arguments = std::make_shared<BenchArguments>();
  StepBenchRequest& request = arguments->request;
  const auto add_list = [command](const char* name, auto& values, const char* text) {
    return command->add_option(name, values, text)
        ->capture_default_str()
        ->delimiter(',')
        ->type_name("LIST")
        ->allow_extra_args(false);
  };
  add_list("--variant", arguments->variants, "baseline, blind, cdsp");
  add_list("--batch", request.batches, "Images per step")->check(CLI::Range(1, 1 << 20));
  add_list("--threads", request.threads, "CPU threads; 0 = all cores")->check(CLI::Range(0, 1024));
  add_list("--dtype", arguments->dtypes, "float32, float64");
  request.device = "auto";
  command->add_option("--device", request.device, "auto, cpu, cuda or cuda:i")
      ->capture_default_str()
      ->type_name("DEVICE");
  command->add_option("--steps", request.steps, "Steps per measurement")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--repeats", request.repeats, "Measurements; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  add_set_option(*command, arguments->overrides);
  command->callback([arguments, &global, &action] {
    action = [arguments, &global] { return bench_step(*arguments, global); };
  });
}

}  // namespace

void add_bench(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command = root.add_subcommand("bench", "Measure speed");
  command->require_subcommand(1);
  command->footer("Example:\n  cdsp bench step --batch 128 --json");
  add_step(*command, global, action);
}

}  // namespace cdsp::app
