// The fused kernels, each alone, against the reference path that defines them: forward (as training
// runs it, leaving what the backward pass needs) and backward.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "kernels/engine.h"

namespace cdsp {

/// One kernel on one set of inputs.
struct KernelCase {
  std::string kernel;              // "cdsp_layer", "standard_experts", ...
  std::string shape;               // in words
  std::vector<at::Tensor> leaves;  // what gradients are taken of
  std::function<at::Tensor(Engine)> forward;
  at::Tensor upstream;  // gradient of the output

  /// Gradients of the leaves from `output` = forward(...), which is used up.
  std::vector<at::Tensor> backward(const at::Tensor& output) const;
};

/// The names of all kernels, in the order of kernel_cases().
std::vector<std::string> kernel_names();

/// Every kernel on the shapes of `config` with `batch` images of 28 x 28 pixels; random inputs,
/// dtype as model.dtype says.
std::vector<KernelCase> kernel_cases(const Config& config, int64_t batch);

struct KernelBenchRequest {
  std::vector<std::string> kernels;  // empty = all
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
