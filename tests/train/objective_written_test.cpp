// The objective and its gradient in plain loops and by block programs, against LibTorch's
// operations and autograd.
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "config/spellings.h"
#include "conflict/penalty.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/gpu.h"
#include "support/tiny_setup.h"
#include "train/log_step_blocks.h"
#include "train/metric_vector.h"
#include "train/metrics.h"
#include "train/objective_cpu.h"
#include "train/objective_cuda.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

constexpr int64_t kImages = 9, kClasses = 5, kExperts = 4, kTokens = 150;

/// Outputs of a network, drawn at random: leaves that an objective can be differentiated in.
struct Outputs {
  ForwardResult forward;
  at::Tensor labels;
  std::vector<LaggedGame> games;
  std::vector<at::Tensor> conflicts, leaves;  // conflicts: of those games

  Outputs(Variant variant, at::ScalarType dtype, uint64_t seed) {
    Draw draw(seed);
    const auto leaf = [&](const at::Tensor& value) {
      leaves.push_back(value.to(dtype).set_requires_grad(true));
      return leaves.back();
    };
    forward.logits = leaf(draw.normal({kImages, kClasses}) * 3.0);
    labels = draw.choices(kImages, kClasses, 1).view({kImages});
    for (int layer = 0; layer < 2; ++layer) {
      Routing routing;
      routing.indices = draw.choices(kTokens, kExperts, 2);
      routing.weights = draw.weights_on(routing.indices, kExperts).to(dtype);
      if (variant != Variant::kCdsp)
        routing.probabilities = leaf(at::softmax(draw.normal({kTokens, kExperts}), 1));
      forward.routing.push_back(routing);
      if (variant != Variant::kCdsp) continue;
      ConflictSite site;
      // Zero, and numbers on both sides of the gate of gated_logit.
      at::Tensor alpha = draw.normal({kExperts, kExperts});
      alpha[0][1] = 0.0;
      alpha[1][0] = 1e-3;
      alpha[2][3] = 0.9e-3;
      site.alpha = leaf(alpha);
      site.active = at::arange(kExperts).ne(layer);
      forward.sites.push_back(site);
      const at::Tensor c = draw.uniform({kExperts, kExperts}, 0.0, 1.0);
      games.emplace_back(ConflictGradient::kUv);
      games.back().restore((c.tril(-1) + c.triu(1)).to(dtype));
      conflicts.push_back(games.back().conflict(site));
    }
  }
};

using Written = std::function<ObjectiveAndGradient(const Config&, const Outputs&)>;

ObjectiveAndGradient in_loops(const Config& config, const Outputs& outputs) {
  return objective_and_gradient_cpu(config, outputs.forward, outputs.labels, outputs.conflicts);
}

/// With the game in it, whose C is added to the epoch's.
ObjectiveAndGradient by_block_programs(const Config& config, const Outputs& outputs) {
  std::vector<at::Tensor> epoch_conflict;
  for (const at::Tensor& c : outputs.conflicts)
    epoch_conflict.push_back(at::ones_like(c, at::TensorOptions().dtype(at::kDouble)));
  ObjectiveAndGradient result = objective_and_gradient_cuda(config, outputs.forward, outputs.labels,
                                                            outputs.games, epoch_conflict);
  for (size_t layer = 0; layer < epoch_conflict.size(); ++layer)
    CHECK(at::equal(epoch_conflict[layer].to(at::kCPU),
                    outputs.conflicts[layer].to(at::kCPU, at::kDouble) + 1.0));
  return result;
}

/// The same numbers on a GPU.
Outputs on_gpu(const Outputs& outputs) {
  const at::Device gpu(at::kCUDA, 0);
  Outputs moved = outputs;
  const auto move = [&gpu](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.detach().to(gpu);
  };
  for (at::Tensor* tensor : {&moved.forward.logits, &moved.labels}) move(*tensor);
  for (Routing& routing : moved.forward.routing)
    for (at::Tensor* tensor : {&routing.indices, &routing.weights, &routing.probabilities})
      move(*tensor);
  for (ConflictSite& site : moved.forward.sites)
    for (at::Tensor* tensor : {&site.alpha, &site.active}) move(*tensor);
  for (LaggedGame& game : moved.games) game.restore(game.lagged().to(gpu));
  for (at::Tensor& conflict : moved.conflicts) move(conflict);
  return moved;
}

void check_objective(const Config& config, at::ScalarType dtype, const Written& written) {
  const double tolerance = dtype == at::kDouble ? 1e-13 : 1e-5;
  const Outputs outputs(config.variant, dtype, 3);
  const Objective expected = objective(config, outputs.forward, outputs.labels, outputs.conflicts);
  const auto slopes =
      torch::autograd::grad({expected.total}, outputs.leaves, {}, false, false, true);
  const auto [terms, gradient] = written(config, outputs);
  CHECK(relative_error(terms.total, expected.total.detach()) < tolerance);
  CHECK(relative_error(terms.task, expected.task.detach()) < tolerance);
  CHECK(relative_error(terms.conflict, expected.conflict.detach()) < tolerance);
  CHECK(relative_error(terms.reg, expected.reg.detach()) < tolerance);
  CHECK(relative_error(terms.balance, expected.balance.detach()) < tolerance);
  CHECK(relative_error(terms.sample_losses, expected.sample_losses) < tolerance);
  CHECK(terms.total.scalar_type() == dtype);
  CHECK_FALSE(terms.total.requires_grad());
  CHECK(relative_error(gradient.logits, slopes[0]) < tolerance);
  for (size_t layer = 0; layer < 2; ++layer) {
    const at::Tensor& slope = slopes[1 + layer];
    if (config.variant == Variant::kCdsp) {
      CHECK(relative_error(gradient.alpha.at(layer), slope) < tolerance);
    } else if (slope.defined()) {
      CHECK(relative_error(gradient.probabilities.at(layer).expand_as(slope), slope) < tolerance);
    } else {
      CHECK(config.balance.kind == BalanceKind::kCv2);
      CHECK(gradient.probabilities.empty());
    }
  }
}

}  // namespace

TEST_CASE("the written objectives are that of LibTorch's operations, and so are their gradients") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    for (const auto& penalty : spellings<ConflictPenalty>()) {  // all there are
      for (const double determinism : {0.0, 0.75}) {
        INFO(penalty.text << ", determinism " << determinism << ", " << dtype);
        Config config = tiny_config(Variant::kCdsp);
        config.conflict.penalty = penalty.value;
        config.conflict.determinism = determinism;
        config.conflict.l1 = 0.25;
        check_objective(config, dtype, in_loops);
        check_objective(config, dtype, by_block_programs);
      }
    }
    for (const Variant variant : {Variant::kBaseline, Variant::kBlind}) {
      for (const auto& kind : spellings<BalanceKind>()) {
        INFO(to_string(variant) << ", " << kind.text << ", " << dtype);
        Config config = tiny_config(variant);
        config.balance.kind = kind.value;
        config.balance.lambda = 0.5;
        check_objective(config, dtype, in_loops);
        check_objective(config, dtype, by_block_programs);
      }
    }
  }
}

TEST_CASE("on a GPU the objective and its gradient are what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  const at::ScalarType dtype = GENERATE(at::kDouble, at::kFloat);
  const double tolerance = dtype == at::kDouble ? 1e-12 : 2e-5;
  const Variant variant = GENERATE(Variant::kCdsp, Variant::kBaseline);
  for (const auto& penalty : spellings<ConflictPenalty>()) {
    for (const auto& kind : spellings<BalanceKind>()) {
      INFO(to_string(variant) << ", " << penalty.text << ", " << kind.text << ", " << dtype);
      Config config = tiny_config(variant);
      config.conflict.penalty = penalty.value;
      config.conflict.determinism = 0.75;
      config.balance.kind = kind.value;
      const Outputs outputs(variant, dtype, 6);
      const auto expected = by_block_programs(config, outputs),
                 found = by_block_programs(config, on_gpu(outputs));
      const auto check = [&](const at::Tensor& there, const at::Tensor& here) {
        CHECK(relative_error(there.to(at::kCPU), here) < tolerance);
      };
      check(found.terms.total, expected.terms.total);
      check(found.terms.conflict, expected.terms.conflict);
      check(found.terms.reg, expected.terms.reg);
      check(found.terms.balance, expected.terms.balance);
      check(found.terms.sample_losses, expected.terms.sample_losses);
      check(found.gradient.logits, expected.gradient.logits);
      for (size_t i = 0; i < expected.gradient.alpha.size(); ++i)
        check(found.gradient.alpha.at(i), expected.gradient.alpha[i]);
      for (size_t i = 0; i < expected.gradient.probabilities.size(); ++i)
        check(found.gradient.probabilities.at(i), expected.gradient.probabilities[i]);
    }
  }
}

TEST_CASE("huge logits overflow neither of the written losses nor their gradients") {
  Outputs outputs(Variant::kBaseline, at::kDouble, 5);
  outputs.forward.logits = at::tensor({1e5, -1e5, 0.0}, at::kDouble).view({1, 3});
  outputs.labels = at::tensor({1}, at::kLong);
  for (const Written& written : {Written(in_loops), Written(by_block_programs)}) {
    const auto [terms, gradient] = written(tiny_config(Variant::kBaseline), outputs);
    CHECK(terms.task.item<double>() == Catch::Approx(2e5));
    CHECK(at::equal(gradient.logits, at::tensor({1.0, -1.0, 0.0}, at::kDouble).view({1, 3})));
  }
}

TEST_CASE("logits that are no numbers show in the loss, wherever they stand") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (int64_t place = 0; place < 3; ++place) {
    Outputs outputs(Variant::kBaseline, at::kDouble, 5);
    outputs.forward.logits = at::ones({2, 3}, at::kDouble);
    outputs.forward.logits[1][place] = kNan;
    outputs.labels = at::tensor({0, 0}, at::kLong);
    for (const Written& written : {Written(in_loops), Written(by_block_programs)}) {
      const auto [terms, gradient] = written(tiny_config(Variant::kBaseline), outputs);
      CHECK(std::isnan(terms.task.item<double>()));
      CHECK(std::isnan(terms.total.item<double>()));
    }
  }
}

TEST_CASE("a label that the head does not have is refused, not read past the end") {
  ForwardResult forward;
  forward.logits = at::zeros({1, 3}, at::kDouble);
  for (const int64_t label : {-1, 3}) {
    CHECK_THROWS_WITH(objective_and_gradient_cpu(tiny_config(Variant::kBaseline), forward,
                                                 at::full({1}, label, at::kLong), {}),
                      Catch::Matchers::ContainsSubstring("of 3 classes"));
  }
}

TEST_CASE("a block program, which can throw nothing, gives such a label a loss that is no number") {
  Outputs outputs(Variant::kBaseline, at::kDouble, 5);
  outputs.forward.logits = at::zeros({2, 3}, at::kDouble);
  for (const int64_t label : {int64_t{-1}, int64_t{3}}) {
    outputs.labels = at::tensor({label, int64_t{1}}, at::kLong);
    const auto [terms, gradient] = by_block_programs(tiny_config(Variant::kBaseline), outputs);
    CHECK(std::isnan(terms.sample_losses[0].item<double>()));
    CHECK(std::isfinite(terms.sample_losses[1].item<double>()));
    CHECK(std::isnan(terms.total.item<double>()));
  }
}

TEST_CASE("the step's end logs what per_task_sums gives, for more tasks and images than at once") {
  Draw draw(8);
  struct Size {
    int64_t images, num_tasks, classes;
  };
  for (const Size& size : {Size{100, 1, 7},
                           {100, 3, 7},
                           {100, 16, 16},
                           {300, 17, 10},
                           {7, 40, 7},
                           {1, 3, 1},
                           {4500, 3, 37},
                           {2048, 33, 3}}) {
    const auto& [images, num_tasks, classes] = size;
    INFO(images << " images, " << num_tasks << " tasks, " << classes << " classes");
    const int64_t width = metric_slot::kScalars + 3 * num_tasks;
    at::Tensor logits = draw.normal({images, classes}).mul_(2.0).round(),  // ties
        losses = draw.uniform({images}, 0.0, 2.0);
    logits[images / 2][classes / 2] = std::numeric_limits<double>::quiet_NaN();
    logits[0].fill_(-std::numeric_limits<double>::infinity());
    const at::Tensor labels = draw.choices(images, classes, 1).view({images}),
                     tasks = draw.choices(images, num_tasks, 1).view({images}),
                     scalars = draw.normal({6}), topology = draw.normal({2});
    const double* scalar = scalars.data_ptr<double>();
    const at::Tensor expected = per_task_sums(logits, labels, tasks, losses, num_tasks);
    at::Tensor first_log;
    for (const EmulationOrder order : {EmulationOrder::kAscending, EmulationOrder::kDescending}) {
      at::Tensor log = at::full({4, width}, -1.0, at::kDouble),
                 sums = at::ones({3 * num_tasks}, at::kDouble),
                 counters = at::tensor({7, 30, 2}, at::kLong);
      emulation_order() = order;
      run_grid(LogStep<double>{scalar, scalar + 1, scalar + 2, scalar + 3, scalar + 4, scalar + 5,
                               topology.data_ptr<double>(), logits.data_ptr<double>(),
                               losses.data_ptr<double>(), labels.data_ptr<int64_t>(),
                               tasks.data_ptr<int64_t>(), log.data_ptr<double>(),
                               sums.data_ptr<double>(), counters.data_ptr<int64_t>(), images,
                               num_tasks, static_cast<int>(classes)},
               -1);
      emulation_order() = EmulationOrder::kAscending;
      CHECK(relative_error(log[2], at::cat({scalars, topology, expected})) < 1e-14);
      CHECK(at::equal(log[2].narrow(0, metric_slot::kScalars, 2 * num_tasks),
                      expected.narrow(0, 0, 2 * num_tasks)));  // the counts
      CHECK(relative_error(sums, expected + 1.0) < 1e-14);
      CHECK(log.narrow(0, 0, 2).eq(-1.0).all().item<bool>());  // the other rows are untouched
      CHECK(log[3].eq(-1.0).all().item<bool>());
      CHECK(at::equal(counters, at::tensor({int64_t{8}, 30 + images, int64_t{3}}, at::kLong)));
      if (!first_log.defined()) first_log = log;
      CHECK(same_bytes(log, first_log));
    }
  }
}

TEST_CASE("a step's numbers on the host are those of the device's operations") {
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline}) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const Outputs outputs(variant, dtype, 4);
      const Config config = tiny_config(variant);
      const Objective terms = objective(config, outputs.forward, outputs.labels, outputs.conflicts);
      const Batch batch{{}, outputs.labels, at::arange(kImages, at::kLong).remainder(3)};
      const at::Tensor norm = at::full({}, 0.375, dtype);
      const StepVector expected = metric_vector(terms, norm, outputs.forward, batch, 3);
      const StepVector found = metric_vector_cpu(terms, norm, outputs.forward, batch, 3);
      CHECK(relative_error(found.whole, expected.whole) < 1e-14);
      CHECK(same_bytes(found.task_sums, expected.task_sums));
    }
  }
}
