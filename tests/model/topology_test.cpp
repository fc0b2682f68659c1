// From topology logits to columns and gates.
#include "model/topology.h"

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "config/config.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_game.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct TopologyShape {
  int64_t experts, d_base, rank;
};

std::vector<TopologyShape> topology_shapes(Draw& draw) {
  std::vector<TopologyShape> shapes = {{8, 256, 90},  // the paper's
                                       {8, 256, 32}, {5, 43, 42}, {4, 40, 15}, {3, 11, 1},
                                       {3, 11, 11},  {1, 7, 4},   {6, 6, 3}};
  for (int i = 0; i < 20; ++i) {
    const int64_t experts = draw.between(1, 12), d_base = draw.between(experts, 70);
    shapes.push_back({experts, d_base, draw.between(1, d_base)});
  }
  return shapes;
}

std::string describe(const TopologyShape& s) {
  return std::to_string(s.experts) + " experts, D " + std::to_string(s.d_base) + ", rank " +
         std::to_string(s.rank);
}

at::Tensor sigmoid_of(double logit) { return at::sigmoid(at::full({}, logit, at::kDouble)); }

}  // namespace

TEST_CASE("an expert's control force over a column is its link to the column's owner") {
  Draw draw(1);
  for (const TopologyShape& s : topology_shapes(draw)) {
    INFO(describe(s));
    const at::Tensor alpha = draw.normal({s.experts, s.experts});
    CHECK(relative_error(control_force(alpha, s.d_base), loop_control_force(alpha, s.d_base)) <
          1e-15);
  }
}

TEST_CASE("an expert selects the r columns of the largest control force, the lowest among equals") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  Draw draw(2);
  for (const TopologyShape& s : topology_shapes(draw)) {
    INFO(describe(s));
    const at::Tensor alpha = draw.normal({s.experts, s.experts});
    const at::Tensor expected = mask_of(loop_selection(alpha, s.d_base, s.rank), s.d_base);
    CHECK(at::equal(select_topology(alpha, s.d_base, s.rank, engine).mask, expected));
    const Topology in_float = select_topology(alpha.to(at::kFloat), s.d_base, s.rank, engine);
    CHECK(at::equal(in_float.mask, expected.to(at::kFloat)));
  }
}

TEST_CASE("a block that the rank cuts gives its first columns") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  // Expert 0 prefers the blocks 2, 0, 1 of four columns each; rank 6 cuts block 0 after two
  // columns.
  const at::Tensor alpha =
      at::tensor({0.5, 0.1, 0.9, 0., 0., 0., 0., 0., 0.}, at::kDouble).view({3, 3});
  const at::Tensor mask = select_topology(alpha, 12, 6, engine).mask;
  const at::Tensor expected =
      at::tensor({1., 1., 0., 0., 0., 0., 0., 0., 1., 1., 1., 1.}, at::kDouble);
  CHECK(at::equal(mask[0], expected));
}

TEST_CASE("equal logits select the first columns, whatever the length of the rows") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  // sigma computed by vector instructions and by their scalar tail may differ in the last bit.
  for (int64_t experts = 1; experts <= 40; ++experts) {
    for (const double logit : {0.0, 0.3, -1.7, 1e-3}) {
      for (const auto dtype : {at::kDouble, at::kFloat}) {
        const int64_t d_base = 3 * experts + 1, rank = (d_base + 1) / 2;
        const at::Tensor alpha = at::full({experts, experts}, logit, dtype);
        const at::Tensor mask = select_topology(alpha, d_base, rank, engine).mask;
        INFO(experts << " experts at " << logit);
        REQUIRE(mask.narrow(1, 0, rank).min().item<double>() == 1.0);
        REQUIRE(mask.sum().item<double>() == static_cast<double>(experts * rank));
      }
    }
  }
}

TEST_CASE("links that sigma rounds to the same number are still told apart") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  // sigma(40) and sigma(50) are both 1 in float64; the exact forces differ.
  const at::Tensor alpha = at::tensor({40.0, 50.0, 0.0, 0.0}, at::kDouble).view({2, 2});
  CHECK(at::equal(select_topology(alpha, 6, 3, engine).mask[0],
                  at::tensor({0., 0., 0., 1., 1., 1.}, at::kDouble)));
}

TEST_CASE("columns past the last block belong to nobody: chosen last, counted as zeros") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  // Three blocks of three columns; columns 9 and 10 are nobody's.
  const at::Tensor alpha = at::full({3, 3}, -8.0, at::kDouble);
  const double link = sigmoid_of(-8.0).item<double>();
  const Topology nine = select_topology(alpha, 11, 9, engine),
                 ten = select_topology(alpha, 11, 10, engine),
                 all = select_topology(alpha, 11, 11, engine);
  CHECK(nine.mask.narrow(1, 9, 2).sum().item<double>() == 0.0);
  CHECK(nine.gate[0].item<double>() == Catch::Approx(link));
  CHECK(ten.mask.select(1, 9).sum().item<double>() == 3.0);
  CHECK(ten.mask.select(1, 10).sum().item<double>() == 0.0);
  CHECK(ten.gate[0].item<double>() == Catch::Approx(0.9 * link));
  CHECK(all.mask.sum().item<double>() == 33.0);
  CHECK(all.gate[0].item<double>() == Catch::Approx(link * 9.0 / 11.0));
}

TEST_CASE("the gate is the mean control force of the selected columns") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  Draw draw(3);
  for (const TopologyShape& s : topology_shapes(draw)) {
    INFO(describe(s));
    const at::Tensor alpha = draw.normal({s.experts, s.experts});
    const at::Tensor expected = loop_gate(alpha, s.d_base, loop_selection(alpha, s.d_base, s.rank));
    CHECK(relative_error(select_topology(alpha, s.d_base, s.rank, engine).gate, expected) < 1e-14);
  }
}

TEST_CASE("with rank 1 the gate is the strongest link") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  const at::Tensor alpha = Draw(4).normal({5, 5});
  const at::Tensor expected = at::sigmoid(std::get<0>(alpha.max(1)));
  CHECK(relative_error(select_topology(alpha, 23, 1, engine).gate, expected) < 1e-15);
}

TEST_CASE("the gradient of the gate agrees with finite differences") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  Draw draw(5);
  for (const TopologyShape& s : {TopologyShape{4, 22, 11}, TopologyShape{3, 11, 11},
                                 TopologyShape{5, 20, 1}, TopologyShape{1, 3, 2}}) {
    INFO(describe(s));
    const at::Tensor alpha = leaf(draw.normal({s.experts, s.experts})),
                     upstream = draw.normal({s.experts});
    check_gradients(
        [&] { return (select_topology(alpha, s.d_base, s.rank, engine).gate * upstream).sum(); },
        {{"alpha", alpha}});
  }
}

TEST_CASE("only the links that were selected get a gradient through the gate") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  const at::Tensor alpha =
      leaf(at::tensor({0.5, 0.1, 0.9, 0.2, 0.3, 0.1, 0.0, 0.0, 0.1}, at::kDouble).view({3, 3}));
  const at::Tensor gradient =
      gradients_of(select_topology(alpha, 12, 6, engine).gate.sum(), {alpha})[0];
  const at::Tensor expected = at::tensor({1, 0, 1, 1, 1, 0, 1, 0, 1}, at::kLong).view({3, 3});
  CHECK(at::equal(gradient.ne(0).to(at::kLong), expected));
}

TEST_CASE("where nothing flows back into the gate, nothing flows into alpha") {
  // LibTorch asks an operation for gradients even where what came after it has none to give.
  struct Dam : torch::autograd::Function<Dam> {
    static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
      return x.clone();
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                   const torch::autograd::variable_list&) {
      return {at::Tensor()};
    }
  };
  const Engine engine = GENERATE(Engine::kReference, Engine::kEmulated);
  const at::Tensor alpha = leaf(Draw(12).normal({3, 3}));
  const at::Tensor gate = select_topology(alpha, 12, 6, engine).gate;
  CHECK_FALSE(torch::autograd::grad({Dam::apply(gate).sum()}, {alpha}, {}, false, false, true)[0]
                  .defined());
}

TEST_CASE("the selection itself carries no gradient") {
  const Engine engine = GENERATE(Engine::kReference, Engine::kFused, Engine::kEmulated);
  const at::Tensor alpha = leaf(Draw(6).normal({3, 3}));
  CHECK_FALSE(select_topology(alpha, 12, 6, engine).mask.requires_grad());
  CHECK_FALSE(control_force(alpha, 12).requires_grad());
}

TEST_CASE("sparsity is the share of links below 0.1") {
  // sigma(-2.1972...) = 0.1; three links of four are clearly on one side.
  const at::Tensor alpha = at::tensor({-5.0, -2.3, -2.1, 4.0}, at::kDouble).view({2, 2});
  CHECK(alpha_sparsity(alpha).item<double>() == 0.5);
  CHECK(alpha_sparsity(at::zeros({3, 3}, at::kDouble)).item<double>() == 0.0);
  CHECK(alpha_sparsity(at::full({3, 3}, -100.0, at::kFloat)).item<double>() == 1.0);
}

TEST_CASE("structural entropy is N^2 bits where every link is even") {
  CHECK(structural_entropy(at::zeros({8, 8}, at::kFloat)).item<double>() == Catch::Approx(64.0));
}

TEST_CASE("structural entropy equals -p log2 p - (1-p) log2 (1-p) over all links") {
  const at::Tensor alpha = Draw(7).normal({6, 6}) * 3.0;
  double expected = 0.0;
  for (int64_t i = 0; i < 36; ++i) {
    const double p = 1.0 / (1.0 + std::exp(-alpha.view({-1})[i].item<double>()));
    expected -= p * std::log2(p) + (1.0 - p) * std::log2(1.0 - p);
  }
  CHECK(structural_entropy(alpha).item<double>() == Catch::Approx(expected).epsilon(1e-12));
}

TEST_CASE("structural entropy of saturated links is small, exact and the same for both ends") {
  for (const double logit : {21.0, 30.0, 50.0, 700.0}) {
    INFO("logit " << logit);
    const double q = std::exp(-logit);  // 1 - p, and p is 1 in float64 or nearly
    const double expected =
        (std::log1p(q) + q * (logit + std::log1p(q))) / (1.0 + q) / std::log(2.0);
    const auto entropy = [](double a) {
      return structural_entropy(at::full({1, 1}, a, at::kDouble)).item<double>();
    };
    CHECK(entropy(logit) == Catch::Approx(expected).epsilon(1e-9));
    CHECK(entropy(-logit) == Catch::Approx(expected).epsilon(1e-9));
  }
  CHECK(structural_entropy(at::full({1, 1}, 5000.0, at::kDouble)).item<double>() == 0.0);
  CHECK(structural_entropy(at::full({1, 1}, -5000.0, at::kDouble)).item<double>() == 0.0);
}

TEST_CASE("both numbers of a topology in one go are the single ones") {
  Draw draw(9);
  for (const double size : {0.1, 3.0, 40.0}) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      at::Tensor alpha = (draw.normal({8, 8}) * size).to(dtype);
      alpha[0][0] = 0.0;
      alpha[0][1] = 5000.0;
      alpha[0][2] = -5000.0;
      const TopologyNumbers numbers = topology_numbers_cpu(alpha);
      CHECK(numbers.sparsity == alpha_sparsity(alpha).item<double>());
      CHECK(numbers.entropy ==
            Catch::Approx(structural_entropy(alpha).item<double>()).epsilon(1e-13));
    }
  }
}

TEST_CASE(
    "the numbers of all layers' topologies by one kernel are mean and sum of the single ones") {
  Draw draw(10);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    for (const int64_t experts : {1, 8, 21}) {
      const int64_t links = experts * experts;
      // Two layers in the midst of other parameters.
      at::Tensor parameters = (draw.normal({3 * links + 11}) * 4.0).to(dtype);
      parameters[5] = 5000.0;
      const std::vector<int64_t> offsets = {5, 2 * links + 7};
      double sparsity = 0.0, entropy = 0.0;
      for (const int64_t offset : offsets) {
        const at::Tensor alpha = parameters.narrow(0, offset, links);
        sparsity += alpha_sparsity(alpha).item<double>() / 2.0;
        entropy += structural_entropy(alpha).item<double>();
      }
      const at::Tensor found =
          topology_numbers_cuda(parameters, at::tensor(offsets, at::kLong), links);
      CHECK(found[0].item<double>() == Catch::Approx(sparsity).epsilon(1e-14));
      CHECK(found[1].item<double>() == Catch::Approx(entropy).epsilon(1e-13));
    }
  }
}

TEST_CASE("a logit that is no number shows in the gate, whichever engine selects") {
  for (const Engine engine : {Engine::kReference, Engine::kFused, Engine::kEmulated}) {
    at::Tensor alpha = Draw(11).normal({4, 4});
    alpha[2][1] = std::numeric_limits<double>::quiet_NaN();
    const Topology topology = select_topology(alpha, 22, 11, engine);
    CHECK(std::isnan(topology.gate[2].item<double>()));
    CHECK(std::isfinite(topology.gate[1].item<double>()));
    CHECK(topology.mask[2].sum().item<double>() == 11.0);
  }
}

TEST_CASE("rank auto is floor(D / sqrt(N))") {
  const auto automatic = [](int64_t d_base, int64_t experts) {
    MoeConfig moe;
    moe.d_base = d_base;
    moe.num_experts = experts;
    return moe.resolved_rank();
  };
  CHECK(automatic(256, 8) == 90);
  CHECK(automatic(256, 4) == 128);  // an exact square
  CHECK(automatic(43, 5) == 19);
  CHECK(automatic(7, 1) == 7);
  CHECK(automatic(6, 6) == 2);
  CHECK(automatic(1000003 * 3, 9) == 1000003);
}

TEST_CASE("a rank that is given is taken") {
  MoeConfig moe;
  moe.rank = 32;
  CHECK(moe.resolved_rank() == 32);
  CHECK(moe.block_width() == 32);
}
