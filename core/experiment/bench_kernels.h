// How long each fused kernel (experiment/kernel_cases.h) takes, forward and backward, beside the
// reference path that defines it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace cdsp {

struct KernelBenchRequest {
  std::vector<std::string> kernels;  // of kernel_names(); empty = all
  std::vector<int64_t> batches = {128};
  std::vector<int64_t> threads = {0};  // 0 = all cores
  std::vector<DType> dtypes = {DType::kFloat32};
  int64_t steps = 10;   // per measurement
  int64_t repeats = 5;  // measurements; the median counts
};

struct KernelBenchResult {
  std::string kernel, pass, shape, dtype;  // pass: "forward" or "backward"
  int64_t batch = 0, threads = 0;
  double reference_ms = 0, fused_ms = 0;  // medians
  double speedup = 0;                     // reference over fused, median over the rounds
};

/// Every combination of the request, on the CPU; both engines are measured by turns, round after
/// round.
std::vector<KernelBenchResult> bench_kernels(const Config& base, const KernelBenchRequest& request);

}  // namespace cdsp
