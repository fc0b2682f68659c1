#include "experiment/bench_kernels.h"

#include <algorithm>
#include <array>
#include <utility>

#include <ATen/ATen.h>

#include "experiment/bench_timing.h"
#include "experiment/kernel_cases.h"
#include "train/runtime.h"

namespace cdsp {
namespace {

constexpr std::array<Engine, 2> kEngines = {Engine::kReference, Engine::kFused};

/// Milliseconds a call.
struct PassTimes {
  double forward = 0, backward = 0;
};

PassTimes time_call(const KernelCase& kernel, Engine engine) {
  PassTimes times;
  at::Tensor output;
  times.forward = milliseconds_of([&] { output = kernel.forward(engine); });
  if (kernel.has_backward()) times.backward = milliseconds_of([&] { kernel.backward(output); });
  return times;
}

/// The mean of several calls.
PassTimes time_calls(const KernelCase& kernel, Engine engine, int64_t calls) {
  time_call(kernel, engine);  // caches and threads as this setting leaves them
  PassTimes sum;
  for (int64_t call = 0; call < calls; ++call) {
    const PassTimes times = time_call(kernel, engine);
    sum.forward += times.forward;
    sum.backward += times.backward;
  }
  const auto count = static_cast<double>(calls);
  return {sum.forward / count, sum.backward / count};
}

/// One kernel at one setting, with what its rounds have measured.
struct Setting {
  KernelCase kernel;
  KernelBenchResult result;                              // without times
  std::array<std::vector<double>, 2> forward, backward;  // by engine

  void measure(int64_t steps) {
    use_threads(result.threads);
    for (size_t e = 0; e < kEngines.size(); ++e) {
      const PassTimes times = time_calls(kernel, kEngines[e], steps);
      forward[e].push_back(times.forward);
      backward[e].push_back(times.backward);
    }
  }

  KernelBenchResult finished(const char* pass,
                             const std::array<std::vector<double>, 2>& times) const {
    KernelBenchResult row = result;
    row.pass = pass;
    row.reference_ms = summarise_times(times[0]).median;
    row.fused_ms = summarise_times(times[1]).median;
    row.speedup = median_ratio(times[0], times[1]);
    return row;
  }
};

}  // namespace

std::vector<KernelBenchResult> bench_kernels(const Config& base,
                                             const KernelBenchRequest& request) {
  const auto is_wanted = [&](const std::string& name) {
    return request.kernels.empty() ||
           std::find(request.kernels.begin(), request.kernels.end(), name) != request.kernels.end();
  };
  std::vector<Setting> settings;
  for (const int64_t batch : request.batches) {
    for (const DType dtype : request.dtypes) {
      Config config = base;
      config.model.dtype = dtype;
      for (const KernelCase& kernel : kernel_cases(config, batch)) {
        if (!is_wanted(kernel.kernel)) continue;
        for (const int64_t threads : request.threads) {
          Setting setting;
          setting.kernel = kernel;
          setting.result.kernel = kernel.kernel;
          setting.result.shape = kernel.shape;
          setting.result.dtype = to_string(dtype);
          setting.result.batch = batch;
          setting.result.threads = use_threads(threads);
          settings.push_back(std::move(setting));
        }
      }
    }
  }
  for (int64_t repeat = 0; repeat < request.repeats; ++repeat) {
    for (Setting& setting : settings) setting.measure(request.steps);
  }
  std::vector<KernelBenchResult> results;
  for (const Setting& setting : settings) {
    results.push_back(setting.finished("forward", setting.forward));
    if (setting.kernel.has_backward())
      results.push_back(setting.finished("backward", setting.backward));
  }
  return results;
}

}  // namespace cdsp
