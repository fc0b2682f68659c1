// Single kernels under Google Benchmark: each on the paper's shapes, forward and (where there is
// one) backward, by either engine. Names are KERNEL/PASS/ENGINE/images:B/threads:T; all of Google
// Benchmark's options serve:
//
//   cdsp_kernel_benchmark --benchmark_filter='cdsp_layer/.*/fused' --benchmark_repetitions=5
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "config/config.h"
#include "experiment/kernel_cases.h"
#include "train/runtime.h"

namespace {

using namespace cdsp;

constexpr int64_t kImages = 128;

void forward(benchmark::State& state, const KernelCase& kernel, Engine engine, int64_t threads) {
  use_threads(threads);
  for (auto unused : state) {
    static_cast<void>(unused);
    benchmark::DoNotOptimize(kernel.forward(engine));
  }
  state.SetItemsProcessed(state.iterations() * kImages);
}

void backward(benchmark::State& state, const KernelCase& kernel, Engine engine, int64_t threads) {
  use_threads(threads);
  for (auto unused : state) {
    static_cast<void>(unused);
    state.PauseTiming();
    const at::Tensor output = kernel.forward(engine);
    state.ResumeTiming();
    benchmark::DoNotOptimize(kernel.backward(output));
  }
  state.SetItemsProcessed(state.iterations() * kImages);
}

void register_kernel(const std::shared_ptr<KernelCase>& kernel, Engine engine, int64_t threads) {
  const std::string engine_name = engine == Engine::kFused ? "fused" : "reference";
  const auto add = [&](const char* pass, auto function) {
    const std::string name = kernel->kernel + "/" + pass + "/" + engine_name +
                             "/images:" + std::to_string(kImages) +
                             "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(
        name.c_str(), [=](benchmark::State& state) { function(state, *kernel, engine, threads); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  add("forward", forward);
  if (kernel->has_backward()) add("backward", backward);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  restart_with_fast_blas(argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::set<int64_t> thread_counts = {1, cores_of_this_process()};
  for (const KernelCase& kernel : kernel_cases(Config(), kImages)) {
    const auto shared = std::make_shared<KernelCase>(kernel);
    for (const Engine engine : {Engine::kReference, Engine::kFused}) {
      for (const int64_t threads : thread_counts) register_kernel(shared, engine, threads);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
