// The number of threads decides how long a run takes, and nothing else.
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/error.h"
#include "eval/evaluate.h"
#include "eval/protocol.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"
#include "train/runtime.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct Outcome {
  std::vector<at::Tensor> tensors;  // weights, optimiser, conflict signal
  std::vector<std::string> names;
  std::vector<double> numbers;  // metrics of every step, answers of the evaluation
};

/// A few steps of full size, the last batch of an odd number of images.
Outcome train_with(int64_t threads, const Config& config, const Dataset& data) {
  use_threads(threads);
  Trainer trainer(config, data, at::kCPU);
  Outcome outcome;
  while (!trainer.finished()) {
    trainer.step();
    const StepMetrics metrics = trainer.read_metrics();
    for (const double value : {metrics.loss_total, metrics.loss_task, metrics.loss_conflict,
                               metrics.loss_reg, metrics.loss_balance, metrics.grad_norm})
      outcome.numbers.push_back(value);
    outcome.numbers.insert(outcome.numbers.end(), metrics.task_loss.begin(),
                           metrics.task_loss.end());
  }
  for (const TensorFile& file : {weights_of(trainer.network()), trainer.state()}) {
    for (const auto& [name, tensor] : file.tensors) {
      outcome.names.push_back(name);
      outcome.tensors.push_back(tensor.clone());
    }
  }
  for (const Evaluation& found : evaluate(trainer.network(), place(data.test, at::kCPU),
                                          all_protocols(data.test.tasks()), 16)) {
    outcome.numbers.push_back(found.total_accuracy());
    outcome.numbers.push_back(found.total_loss());
    for (const auto& layer : found.routing) {
      for (const auto& task : layer)
        outcome.numbers.insert(outcome.numbers.end(), task.begin(), task.end());
    }
  }
  return outcome;
}

void check_same_for_all_threads(const Config& config, const Dataset& data) {
  const int64_t before = at::get_num_threads();
  const Outcome one = train_with(1, config, data);
  for (const int64_t threads : {2, 4}) {
    INFO(threads << " threads");
    const Outcome several = train_with(threads, config, data);
    REQUIRE(several.names == one.names);
    for (size_t i = 0; i < one.names.size(); ++i) {
      INFO(one.names[i]);
      CHECK(same_bytes(several.tensors[i], one.tensors[i]));
    }
    CHECK(several.numbers == one.numbers);
  }
  use_threads(before);
}

Dataset full_size_images() {
  TinyShape shape;
  shape.train = {110, 120, 97};
  shape.test = {40, 41, 42};
  shape.rows = shape.cols = 28;
  shape.classes = 10;
  return tiny_dataset(shape);
}

}  // namespace

TEST_CASE("training and evaluation give the same bytes with 1, 2 and 4 threads") {
  const Dataset data = full_size_images();
  Config config;  // the paper's sizes
  config.train.epochs = 2;
  config.variant = GENERATE(Variant::kCdsp, Variant::kBaseline, Variant::kBlind);
  config.model.dtype = GENERATE(DType::kFloat32, DType::kFloat64);
  INFO(to_string(config.variant) << ", " << to_string(config.model.dtype));
  check_same_for_all_threads(config, data);
}

TEST_CASE("other forms and sizes give the same bytes with 1, 2 and 4 threads, too") {
  const Dataset data = full_size_images();
  Config config;
  config.train.max_steps = 2;
  SECTION("the CDSP layer in its dense form, normalised by image, the gradient of U alone") {
    config.moe.rank = 200;
    config.router.norm = RouterNorm::kSequence;
    config.conflict.gradient = ConflictGradient::kU;
  }
  SECTION("many experts on a wide backbone") {
    config.moe.num_experts = 64;
    config.moe.d_base = 2048;
    config.train.batch_size = 40;
  }
  SECTION("a large batch, balanced by the variation of counts") {
    config.variant = Variant::kBaseline;
    config.balance.kind = BalanceKind::kCv2;
    config.train.batch_size = 327;
  }
  check_same_for_all_threads(config, data);
}

TEST_CASE("more threads than can serve are refused before any work", "[train]") {
  const int before = at::get_num_threads();
  const int64_t cores = cores_of_this_process(), most = most_threads();
  CHECK(most >= std::min<int64_t>(1024, std::max<int64_t>(16, cores)));
  CHECK(most <= 1024);
  CHECK(message_of<InputError>([&] { use_threads(most + 1); }) ==
        "train.threads: found " + std::to_string(most + 1) +
            "; allowed with this process's cores (" + std::to_string(cores) + "): 0 to " +
            std::to_string(most) +
            "; --set train.threads=0 takes one a core, which changes results by rounding at most");
  CHECK(at::get_num_threads() == before);
  CHECK(use_threads(most) == most);
  use_threads(before);
}
