#include "app/bench_options.h"

namespace cdsp::app {

CLI::Option* add_numbers(CLI::App& command, const char* name, std::vector<int64_t>& values,
                         const char* text, int64_t smallest, int64_t largest) {
  return add_list(command, name, values, text)->check(CLI::Range(smallest, largest));
}

CLI::Option* add_number(CLI::App& command, const char* name, int64_t& value, const char* text,
                        int64_t smallest, int64_t largest) {
  return command.add_option(name, value, text)
      ->capture_default_str()
      ->check(CLI::Range(smallest, largest))
      ->type_name("N");
}

void add_measurement_options(CLI::App& command, int64_t& steps, int64_t& repeats) {
  add_number(command, "--steps", steps, "Steps per measurement", 1, 1 << 20);
  add_number(command, "--repeats", repeats, "Measurements; the median counts", 1, 1 << 20);
}

Config bench_config(const std::vector<std::string>& overrides, const std::vector<OwnKey>& own) {
  Config config = parse_config("variant: cdsp\n", "the paper's config", overrides);
  std::vector<OwnKey> keys = {{"variant", "use --variant"},
                              {"train.batch_size", "use --batch"},
                              {"train.threads", "use --threads"},
                              {"data.order_file", "the benchmark draws its own images"}};
  keys.insert(keys.end(), own.begin(), own.end());
  for (const std::string& text : overrides) {
    const std::string name = text.substr(0, text.find('='));
    for (const auto& [key, instead] : keys) {
      if (name == key) {
        throw InputError("--set: " + std::string(key) + ": not for a benchmark; " + instead);
      }
    }
  }
  return config;
}

}  // namespace cdsp::app
