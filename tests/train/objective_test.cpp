// The training objective, term by term.
#include "train/objective.h"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/ATen.h>

#include "conflict/penalty.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/tiny_setup.h"
#include "train/balance_loss.h"
#include "train/metrics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// One forward pass of a tiny network with conflicts drawn at random.
struct ObjectiveCase {
  Config config;
  Network network;
  Batch batch;
  ForwardResult forward;
  std::vector<at::Tensor> conflicts;

  explicit ObjectiveCase(const Config& c)
      : config(c),
        network(config, {8, 8, 3}, at::kCPU),
        batch(first_images(tiny_dataset().train, 13)) {
    ForwardRequest request;
    request.conflict_sites = request.router_probabilities = true;
    forward = network.forward(batch.images, one_hot_tasks(batch.tasks, 3, at::kDouble), request);
    Draw draw(1);
    for (size_t layer = 0; layer < forward.sites.size(); ++layer) {
      conflicts.push_back(draw.uniform({4, 4}, 0.0, 1.0).fill_diagonal_(0.0));
    }
  }

  Objective terms() const { return objective(config, forward, batch.labels, conflicts); }
};

double number(const at::Tensor& scalar) { return scalar.item<double>(); }

/// Cross entropy of each image by the definition.
std::vector<double> loop_cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  std::vector<double> losses;
  for (int64_t image = 0; image < logits.size(0); ++image) {
    double total = 0.0;
    for (int64_t c = 0; c < logits.size(1); ++c) total += std::exp(number(logits[image][c]));
    losses.push_back(std::log(total) - number(logits[image][labels[image].item<int64_t>()]));
  }
  return losses;
}

}  // namespace

TEST_CASE("the task loss is the cross entropy, mean over the batch") {
  const ObjectiveCase c(tiny_config());
  const std::vector<double> losses = loop_cross_entropy(c.forward.logits, c.batch.labels);
  const Objective terms = c.terms();
  CHECK(relative_error(terms.sample_losses, at::tensor(losses, at::kDouble)) < 1e-13);
  double sum = 0.0;
  for (const double loss : losses) sum += loss;
  CHECK(number(terms.task) == Catch::Approx(sum / 13.0).epsilon(1e-13));
  CHECK_FALSE(terms.sample_losses.requires_grad());
}

TEST_CASE("huge logits do not overflow the cross entropy") {
  const at::Tensor logits = at::tensor({1e5, -1e5, 0.0}, at::kDouble).view({1, 3});
  const at::Tensor label = at::tensor({1}, at::kLong);
  CHECK(number(cross_entropy_per_image(logits, label)[0]) == Catch::Approx(2e5));
}

TEST_CASE("cdsp: total = task + lambda conflict + reg, summed over layers") {
  Config config = tiny_config();
  config.conflict.lambda = 3.5;
  config.conflict.l1 = 0.25;
  config.conflict.determinism = 0.5;
  const ObjectiveCase c(config);
  const Objective terms = c.terms();
  double conflict = 0.0, reg = 0.0;
  for (size_t layer = 0; layer < 2; ++layer) {
    const at::Tensor alpha = c.network.alphas()[layer].detach();
    const at::Tensor p = 1.0 / (1.0 + at::exp(-alpha));
    conflict += number((alpha * c.conflicts[layer]).sum());
    reg += 0.25 * number(alpha.abs().sum()) / 16.0 + 0.5 * number((p * (1.0 - p)).sum()) / 16.0;
  }
  CHECK(number(terms.conflict) == Catch::Approx(conflict).epsilon(1e-13));
  CHECK(number(terms.reg) == Catch::Approx(reg).epsilon(1e-13));
  CHECK(number(terms.balance) == 0.0);
  CHECK(number(terms.total) ==
        Catch::Approx(number(terms.task) + 3.5 * conflict + reg).epsilon(1e-13));
}

TEST_CASE("baselines: total = task + lambda balance, summed over layers") {
  for (const Variant variant : {Variant::kBaseline, Variant::kBlind}) {
    for (const BalanceKind kind : {BalanceKind::kSwitch, BalanceKind::kCv2}) {
      INFO(to_string(variant) << ", " << to_string(kind));
      Config config = tiny_config(variant);
      config.balance.kind = kind;
      config.balance.lambda = 0.75;
      const ObjectiveCase c(config);
      const Objective terms = c.terms();
      const double balance = number(balance_loss(c.forward.routing[0], kind)) +
                             number(balance_loss(c.forward.routing[1], kind));
      CHECK(number(terms.balance) == Catch::Approx(balance).epsilon(1e-13));
      CHECK(number(terms.conflict) == 0.0);
      CHECK(number(terms.reg) == 0.0);
      CHECK(number(terms.total) ==
            Catch::Approx(number(terms.task) + 0.75 * balance).epsilon(1e-13));
    }
  }
}

TEST_CASE("per-task sums count images, right answers and losses of each task") {
  const at::Tensor logits =
      at::tensor({2., 1., 0., 0., 3., 0., 5., 0., 1., 0., 0., 1.}, at::kDouble).view({4, 3});
  const at::Tensor labels = at::tensor({0, 2, 0, 2}, at::kLong);  // right, wrong, right, right
  const at::Tensor tasks = at::tensor({2, 0, 0, 2}, at::kLong);
  const at::Tensor losses = at::tensor({0.5, 4.0, 0.25, 1.0}, at::kDouble);
  const at::Tensor sums = per_task_sums(logits, labels, tasks, losses, 3);
  const at::Tensor expected = at::tensor({2., 0., 2., 1., 0., 2., 4.25, 0., 1.5}, at::kDouble);
  CHECK(at::equal(sums, expected));
}

TEST_CASE("an answer is the first of the largest logits, as argmax has it, numbers or not") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor logits =
      at::tensor({1., 3., 3., kNan, 5., 9., 2., kNan, kNan, 4., 4., 4.}, at::kDouble).view({4, 3});
  const at::Tensor tasks = at::tensor({0, 1, 2, 3}, at::kLong);
  for (int64_t label = 0; label < 3; ++label) {
    const at::Tensor labels = at::full({4}, label, at::kLong);
    const at::Tensor sums = per_task_sums(logits, labels, tasks, at::zeros({4}, at::kDouble), 4);
    CHECK(at::equal(sums.narrow(0, 4, 4), logits.argmax(1).eq(labels).to(at::kDouble)));
  }
}

TEST_CASE("a step's numbers read back by name, and a task without images has no accuracy") {
  const at::Tensor vector = at::tensor(
      {9., 8., 7., 6., 5., 4., 0.25, 2., 3., 0., 1., 1., 0., 1., 6., 0., 2.5}, at::kDouble);
  const StepMetrics m = unpack_metrics(vector, /*has_topology=*/true);
  CHECK(m.loss_total == 9.0);
  CHECK(m.loss_task == 8.0);
  CHECK(m.loss_conflict == 7.0);
  CHECK(m.loss_reg == 6.0);
  CHECK(m.loss_balance == 5.0);
  CHECK(m.grad_norm == 4.0);
  CHECK(m.alpha_sparsity == 0.25);
  CHECK(m.structural_entropy == 2.0);
  CHECK(m.accuracy() == 0.5);
  CHECK(m.task_accuracy(0) == Catch::Approx(1.0 / 3.0));
  CHECK_FALSE(m.task_accuracy(1).has_value());
  CHECK(m.task_accuracy(2) == 1.0);
  CHECK(m.task_loss == std::vector<double>{6.0, 0.0, 2.5});
  const StepMetrics without = unpack_metrics(vector, /*has_topology=*/false);
  CHECK_FALSE(without.alpha_sparsity.has_value());
  CHECK_FALSE(without.structural_entropy.has_value());
}

TEST_CASE("the first term that is not finite is named, causes before effects") {
  StepMetrics metrics;
  CHECK(first_non_finite(metrics).empty());
  metrics.grad_norm = HUGE_VAL;
  CHECK(first_non_finite(metrics) == "grad_norm");
  metrics.loss_total = std::nan("");
  CHECK(first_non_finite(metrics) == "loss_total");
  metrics.loss_reg = -HUGE_VAL;
  CHECK(first_non_finite(metrics) == "loss_reg");
  metrics.loss_task = std::nan("");
  CHECK(first_non_finite(metrics) == "loss_task");
}
