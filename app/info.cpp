// cdsp info: versions and machine, to go with a report of a problem or a timing.
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "app/commands.h"
#include "app/output.h"
#include "base/error.h"
#include "report/text_table.h"
#include "train/cuda_devices.h"
#include "train/runtime.h"

namespace cdsp::app {
namespace {

/// Empty, with a warning, where the driver tells nothing of the devices that LibTorch counts.
std::vector<CudaDevice> told_devices() {
  try {
    return cuda_devices();
  } catch (const WorkError& error) {
    spdlog::warn("{}: names and memory of the CUDA devices are not known", error.what());
    return {};
  }
}

std::string line_of(const std::string& name, const std::string& value) {
  return name + ":" + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + value + "\n";
}

int info(const GlobalOptions& global) {
  const int64_t threads = use_threads(0);  // what a run with train.threads: 0 would use
  nlohmann::ordered_json json;
  for (const auto& [name, value] : runtime_facts()) json[name] = value;
  json["cores"] = cores_of_this_process();
  json["threads"] = threads;
  json["cuda_devices"] = cuda_device_count();
  const BlasInfo blas = blas_info();
  json["blas_is_slow_reference"] = blas.is_slow_reference;
  const auto devices = told_devices();
  json["cuda_device_list"] = nlohmann::ordered_json::array();
  for (const CudaDevice& device : devices) {
    json["cuda_device_list"].push_back({{"name", device.name},
                                        {"compute_capability", device.compute_capability},
                                        {"memory_bytes", device.memory_bytes}});
  }
  if (blas.is_slow_reference) {
    spdlog::warn(
        "the BLAS is the reference one ({}): training takes many times longer; on Debian and "
        "Ubuntu install libopenblas0-openmp",
        blas.name);
  }
  if (global.json) {
    print_result(json);
    return 0;
  }
  std::string text;
  for (const auto& [name, value] : runtime_facts()) text += line_of(name, value);
  for (size_t i = 0; i < devices.size(); ++i) {
    constexpr double kGibibyte = 1 << 30;
    const double memory = static_cast<double>(devices[i].memory_bytes) / kGibibyte;
    text += line_of("cuda:" + std::to_string(i), devices[i].name + ", compute capability " +
                                                     devices[i].compute_capability + ", " +
                                                     fixed_number(memory, 1) + " GiB");
  }
  print_result(text);
  return 0;
}

}  // namespace

void add_info(CLI::App& root, const GlobalOptions& global, Action& action) {
  auto* command =
      root.add_subcommand("info", "Print versions, devices, threads, BLAS and build flags");
  command->footer("Example:\n  cdsp info --json");
  command->callback([&global, &action] { action = [&global] { return info(global); }; });
}

}  // namespace cdsp::app
