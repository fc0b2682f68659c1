// What a CUDA graph of a step does with work that it cannot hold. Skipped where no GPU is.
#include "train/step_graph.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/gpu.h"
#include "train/own_stream.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("on a GPU work that cannot be captured is done as it comes, and the reason is kept") {
  if (!has_gpu_and_kernels()) return;
  StepGraph graph(/*batch=*/1, /*device=*/0);
  const auto options = at::TensorOptions().dtype(at::kDouble).device(at::kCUDA, 0);
  const at::Tensor sum = at::zeros({}, options);
  double read = 0.0;
  for (int step = 1; step <= StepGraph::kWarmUpSteps + 3; ++step) {
    graph.run([&] {
      sum.add_(1.0);
      read = sum.item<double>();  // waits for the device, which a capture may not
    });
    CHECK(read == step);
  }
  CHECK_FALSE(graph.is_captured());
  CHECK_FALSE(graph.trouble().empty());

  // The failure has left nothing behind: other work is captured, and memory is had and given back.
  StepGraph next(/*batch=*/2, /*device=*/0);
  const at::Tensor total = at::zeros({1000}, options);
  for (int step = 1; step <= StepGraph::kWarmUpSteps + 3; ++step) {
    next.run([&] { total.add_(at::ones({1000}, options) * 2.0); });
    CHECK(total.sum().item<double>() == 2000.0 * step);
  }
  CHECK(next.is_captured());
  CHECK(next.trouble().empty());
  CHECK_NOTHROW(at::zeros({1 << 24}, options).sum().item<double>());
  CHECK_NOTHROW(give_back_device_memory());
}
