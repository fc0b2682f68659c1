// What fewer bits in the matrix products do to a whole network: the float64 reference judges. The
// roundings are those of matrix_product.h on the host; docs/cuda.md gives these figures.
#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "model/network.h"
#include "support/catch.h"
#include "support/gpu.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"
#include "train/flat_gradient.h"
#include "train/objective.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

namespace {

Config with_precision(Config config, Precision precision) {
  config.model.dtype = DType::kFloat32;
  config.train.engine = EngineChoice::kEmulated;
  config.train.precision = precision;
  return config;
}

Config judge(Config config) {
  config.model.dtype = DType::kFloat64;
  config.train.engine = EngineChoice::kReference;
  return config;
}

/// The paper's network, 96 images of 28 x 28.
Config paper_config(Variant variant) {
  Config config;
  config.variant = variant;
  return config;
}

TinyShape paper_shape() {
  TinyShape shape;
  shape.train = {32, 32, 32};
  shape.rows = shape.cols = 28;
  shape.classes = 10;
  return shape;
}

struct Answer {
  at::Tensor logits, gradient;  // float64
};

/// The answer with the float32 weights, whatever the network's own dtype.
Answer answer_of(const Config& config, const Dataset& data) {
  const InputShape shape{data.train.rows, data.train.cols, data.train.tasks()};
  const Network network(config, shape, at::kCPU);
  {
    const at::NoGradGuard no_grad;
    const at::Tensor flat = network.parameters().flat();
    flat.copy_(flat.to(at::kFloat));
  }
  const Batch batch = first_images(data.train, data.train.size());
  const ForwardResult forward =
      network.forward(batch.images, one_hot_tasks(batch.tasks, shape.tasks, network.dtype()),
                      {config.variant == Variant::kBaseline, config.variant == Variant::kCdsp});
  const std::vector<at::Tensor> conflicts(
      forward.sites.size(),
      at::zeros({config.moe.num_experts, config.moe.num_experts}, forward.logits.options()));
  const Objective terms = objective(config, forward, batch.labels, conflicts);
  const at::Tensor gradient = differentiate(network.parameters(), terms.total).flat;
  return {forward.logits.detach().to(at::kDouble), gradient.to(at::kDouble)};
}

/// |found - expected| / |expected| as vectors: a token that rounding sends to another expert must
/// not decide alone.
double distance(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

}  // namespace

TEST_CASE("the errors of fewer bits in a whole network, judged by float64") {
  struct Bound {
    Precision precision;
    double logits, gradient;
  };
  const Bound bound =
      GENERATE(Bound{Precision::kFull, 1e-6, 1e-6}, Bound{Precision::kTf32, 5e-3, 5e-3},
               Bound{Precision::kBf16, 2e-2, 2e-2});
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline);
  INFO(to_string(bound.precision) << ", " << to_string(variant));
  const Dataset data = tiny_dataset(paper_shape());
  const Config config = paper_config(variant);
  const Answer exact = answer_of(judge(config), data);
  const Answer found = answer_of(with_precision(config, bound.precision), data);
  CHECK(distance(found.logits, exact.logits) < bound.logits);
  CHECK(distance(found.gradient, exact.gradient) < bound.gradient);
}

TEST_CASE("training with fewer bits follows the losses of float64") {
  struct Bound {
    Precision precision;
    double loss;
  };
  const Bound bound = GENERATE(Bound{Precision::kFull, 1e-5}, Bound{Precision::kTf32, 1e-2},
                               Bound{Precision::kBf16, 1e-1});
  INFO(to_string(bound.precision));
  const Dataset data = tiny_dataset();
  Config config = tiny_config();
  config.train.epochs = 25;  // 100 steps
  config.optimizer.lr = 1e-3;
  config.optimizer.topology_lr = 1e-2;
  Trainer exact(judge(config), data, at::kCPU);
  Trainer found(with_precision(config, bound.precision), data, at::kCPU);
  double farthest = 0.0;
  while (!exact.finished()) {
    exact.step();
    found.step();
    const double loss = exact.read_metrics().loss_task;
    farthest = std::max(farthest, std::abs(found.read_metrics().loss_task - loss) / loss);
    if (!exact.at_epoch_end()) continue;
    exact.begin_epoch();
    found.begin_epoch();
  }
  CHECK(farthest < bound.loss);
}

TEST_CASE("fewer bits are refused where there are none, not ignored") {
  const Config config = with_precision(tiny_config(), Precision::kBf16);
  const at::Device gpu(at::kCUDA, 0);
  CHECK_NOTHROW(require_precision(config, Engine::kEmulated, at::kCPU));
#ifdef CDSP_WITH_CUDA_KERNELS
  if (has_gpu_with_fewer_bits()) CHECK_NOTHROW(require_precision(config, Engine::kFused, gpu));
#else
  CHECK_NOTHROW(require_precision(config, Engine::kFused, gpu));
#endif
  const auto refusal = [](const Config& refused, Engine engine, at::Device device) {
    return message_of<InputError>([&] { require_precision(refused, engine, device); });
  };
  CHECK_THAT(refusal(config, Engine::kFused, at::kCPU), ContainsSubstring("bf16 needs the CUDA"));
  CHECK_THAT(refusal(config, Engine::kReference, gpu), ContainsSubstring("use full"));
  Config exact = config;
  exact.model.dtype = DType::kFloat64;
  CHECK_THAT(refusal(exact, Engine::kEmulated, at::kCPU), ContainsSubstring("float64"));
}
