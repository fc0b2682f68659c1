// Initial values: their laws, and that a seed decides them alone.
#include "model/initialisation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

const Initialiser& exact() {
  static const Initialiser initialiser(3, at::kDouble, at::kCPU);
  return initialiser;
}

double mean_of(const at::Tensor& values) { return values.mean().item<double>(); }
double std_of(const at::Tensor& values) { return values.std(/*unbiased=*/true).item<double>(); }

std::map<std::string, at::Tensor> tensors_of(const Network& network) {
  std::map<std::string, at::Tensor> tensors;
  for (const Parameter& parameter : network.parameters().all()) {
    tensors[parameter.name] = parameter.value.detach();
  }
  return tensors;
}

}  // namespace

TEST_CASE("orthogonal matrices have orthonormal rows or columns, whichever are fewer") {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{5, 23}, {23, 5}, {7, 7}, {1, 4}}) {
    INFO(rows << " x " << columns);
    const at::Tensor q = exact().orthogonal("q", rows, columns);
    const at::Tensor product = rows <= columns ? at::mm(q, q.t()) : at::mm(q.t(), q);
    CHECK(q.sizes() == at::IntArrayRef({rows, columns}));
    CHECK(relative_error(product, at::eye(std::min(rows, columns), at::kDouble)) < 1e-13);
  }
}

TEST_CASE("orthogonal matrices favour no sign") {
  // LAPACK's Q alone has a first column of one sign more often than not.
  double sum = 0.0;
  for (int i = 0; i < 200; ++i) {
    sum += exact().orthogonal("q" + std::to_string(i), 3, 3).diagonal().sign().sum().item<double>();
  }
  CHECK(std::abs(sum) < 5 * std::sqrt(600.0));
}

TEST_CASE("linear weights are uniform within 1/sqrt(fan_in)") {
  const at::Tensor values = exact().linear("w", {200, 100}, 25);
  CHECK(values.abs().max().item<double>() <= 0.2);
  CHECK(values.abs().max().item<double>() > 0.199);
  CHECK(std::abs(mean_of(values)) < 5 * 0.2 / std::sqrt(3.0 * 20000));
  CHECK(std_of(values) == Catch::Approx(0.2 / std::sqrt(3.0)).epsilon(0.02));
}

TEST_CASE("normal weights have the standard deviation asked for") {
  const at::Tensor values = exact().normal("w", {200, 100}, 0.5);
  CHECK(std::abs(mean_of(values)) < 5 * 0.5 / std::sqrt(20000.0));
  CHECK(std_of(values) == Catch::Approx(0.5).epsilon(0.03));
}

TEST_CASE("topology `max_entropy` starts all links around one half") {
  TopologyConfig config;
  config.init = TopologyInit::kMaxEntropy;
  config.init_std = 0.01;
  const at::Tensor alpha = exact().topology("alpha", 100, config);
  CHECK(std::abs(mean_of(alpha)) < 5 * 0.01 / 100);
  CHECK(std_of(alpha) == Catch::Approx(0.01).epsilon(0.04));
  CHECK(std::abs(mean_of(alpha.diagonal())) < 5 * 0.01 / 10);
}

TEST_CASE("topology `self_loop` starts with links to oneself at 1 and the others near 0.1") {
  TopologyConfig config;
  config.init = TopologyInit::kSelfLoop;
  const at::Tensor alpha = exact().topology("alpha", 100, config);
  CHECK(at::equal(alpha.diagonal(), at::ones({100}, at::kDouble)));
  const at::Tensor others = alpha.masked_select(at::eye(100, at::kBool).logical_not());
  CHECK(std::abs(mean_of(others) - 0.1) < 5 * 0.02 / 99.5);
  CHECK(std_of(others) == Catch::Approx(0.02).epsilon(0.04));
}

TEST_CASE("a tensor's values depend on the seed and its name") {
  const Initialiser other_seed(4, at::kDouble, at::kCPU);
  const at::Tensor values = exact().normal("a", {50});
  CHECK(same_bytes(exact().normal("a", {50}), values));
  CHECK_FALSE(at::equal(exact().normal("b", {50}), values));
  CHECK_FALSE(at::equal(other_seed.normal("a", {50}), values));
}

TEST_CASE("float32 values are the float64 ones, rounded") {
  const Initialiser single(3, at::kFloat, at::kCPU);
  CHECK(same_bytes(single.orthogonal("q", 4, 9), exact().orthogonal("q", 4, 9).to(at::kFloat)));
  CHECK(same_bytes(single.linear("w", {4, 9}, 9), exact().linear("w", {4, 9}, 9).to(at::kFloat)));
}

TEST_CASE("the same seed gives a network the same bytes, another seed others") {
  Config config = tiny_config();
  const auto first = tensors_of(Network(config, {8, 8, 3}, at::kCPU));
  const auto second = tensors_of(Network(config, {8, 8, 3}, at::kCPU));
  config.seed += 1;
  const auto third = tensors_of(Network(config, {8, 8, 3}, at::kCPU));
  for (const auto& [name, value] : first) {
    INFO(name);
    CHECK(same_bytes(value, second.at(name)));
    const bool is_norm = name.find("norm") != std::string::npos;  // all ones, for every seed
    CHECK(same_bytes(value, third.at(name)) == is_norm);
  }
}

TEST_CASE("every drawn tensor of a network differs from every other") {
  const auto tensors = tensors_of(Network(tiny_config(), {8, 8, 3}, at::kCPU));
  std::map<double, std::string> names;  // by the ratio of the first two values: scale aside
  for (const auto& [name, value] : tensors) {
    if (name.find("norm") != std::string::npos) continue;
    const at::Tensor flat = value.reshape({-1});
    const auto [other, is_new] = names.emplace((flat[0] / flat[1]).item<double>(), name);
    INFO(name << " and " << other->second);
    CHECK(is_new);
  }
  CHECK(names.size() == tensors.size() - 5);
}

TEST_CASE("the tensors that two variants share start equal, so that seeds pair") {
  const auto cdsp = tensors_of(Network(tiny_config(Variant::kCdsp), {8, 8, 3}, at::kCPU));
  const auto baseline = tensors_of(Network(tiny_config(Variant::kBaseline), {8, 8, 3}, at::kCPU));
  const auto blind = tensors_of(Network(tiny_config(Variant::kBlind), {8, 8, 3}, at::kCPU));
  CHECK(blind.size() == baseline.size());
  for (const auto& [name, value] : baseline) {
    INFO(name);
    CHECK(same_bytes(value, blind.at(name)));
    const bool is_of_experts = name.find(".experts.") != std::string::npos;
    CHECK(cdsp.count(name) == (is_of_experts ? 0 : 1));
    if (!is_of_experts) CHECK(same_bytes(value, cdsp.at(name)));
  }
}

TEST_CASE("the head starts uniform, or N(0, 1) as in the released code") {
  Config config = tiny_config();
  config.model.classes = 200;
  config.model.head_init = HeadInit::kNormal;
  const Network normal(config, {8, 8, 3}, at::kCPU);
  CHECK(std_of(parameter_of(normal, "head.weight").detach()) == Catch::Approx(1.0).epsilon(0.1));
  config.model.head_init = HeadInit::kUniform;
  const Network uniform(config, {8, 8, 3}, at::kCPU);
  CHECK(parameter_of(uniform, "head.weight").abs().max().item<double>() <= 1.0 / std::sqrt(8.0));
}
