// The dense CDSP layer against a loop over experts, and its gradients against finite differences.
#include "kernels/cdsp_layer.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "kernels/gated_experts.h"
#include "kernels/token_blocks.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct LayerShape {
  int64_t tokens, d, columns, experts, k, rank;
};

std::vector<LayerShape> layer_shapes(Draw& draw) {
  std::vector<LayerShape> shapes = {{7, 5, 23, 4, 2, 11},     // columns not divisible by experts
                                    {9, 6, 12, 3, 1, 5},      // one expert a token
                                    {9, 6, 12, 3, 3, 5},      // every expert
                                    {8, 4, 10, 5, 2, 1},      // one column each
                                    {8, 4, 10, 5, 2, 10},     // every column
                                    {2, 3, 18, 9, 1, 4},      // most experts idle
                                    {1, 4, 9, 4, 2, 3},       // one token
                                    {6, 3, 5, 1, 1, 4},       // one expert
                                    {300, 8, 40, 3, 2, 17},   // many tokens an expert
                                    {700, 6, 20, 2, 2, 12},   // more than one tile
                                    {1700, 6, 40, 4, 1, 17},  // and stretches and blocks
                                    // Around what one block program takes.
                                    {50, 64, 256, 8, 2, 90},   // its usual sizes
                                    {25, 64, 257, 4, 2, 90},   // a column more than a stretch
                                    {25, 60, 520, 9, 4, 110},  // stretches, all slots
                                    {25, 68, 40, 4, 2, 17},    // a token too wide
                                    {25, 20, 40, 9, 5, 17}};   // too many slots
  for (int i = 0; i < 8; ++i) {
    const int64_t experts = draw.between(1, 9), columns = draw.between(experts, 50);
    shapes.push_back({draw.between(1, 60), draw.between(1, 12), columns, experts,
                      draw.between(1, experts), draw.between(1, columns)});
  }
  return shapes;
}

std::string describe(const LayerShape& s) {
  return std::to_string(s.tokens) + " tokens, d " + std::to_string(s.d) + ", D " +
         std::to_string(s.columns) + ", " + std::to_string(s.k) + " of " +
         std::to_string(s.experts) + " experts, rank " + std::to_string(s.rank);
}

struct LayerCase {
  at::Tensor x, choices, weights, u, v, gate, upstream;
  IndexSets selection;

  LayerCase(const LayerShape& s, Draw& draw)
      : x(draw.normal({s.tokens, s.d})),
        choices(draw.choices(s.tokens, s.experts, s.k)),
        weights(draw.weights_on(choices, s.experts)),
        u(draw.normal({s.d, s.columns})),
        v(draw.normal({s.columns, s.d})),
        gate(draw.uniform({s.experts}, 0.1, 1.0)),
        upstream(draw.normal({s.tokens, s.d})),
        selection(draw.subsets(s.experts, s.columns, s.rank)) {}

  at::Tensor mask() const { return mask_of(selection, u.size(1)); }
};

/// An answer, the gradients of its inputs, and those of U and V split by expert.
struct LayerResult {
  at::Tensor y, x, weights, u, v, gate, u_by_expert, v_by_expert;
};

using LayerFunction =
    std::function<at::Tensor(const CdspLayerInputs& in, const std::shared_ptr<ExpertGradients>&)>;

LayerResult by_function(const LayerCase& c, at::ScalarType dtype, const LayerFunction& layer) {
  const auto input = [dtype](const at::Tensor& value) {
    return value.to(dtype).clone().set_requires_grad(true);
  };
  const at::Tensor x = input(c.x), weights = input(c.weights), u = input(c.u), v = input(c.v),
                   gate = input(c.gate);
  const auto by_expert = std::make_shared<ExpertGradients>();
  const Routing routing = {c.choices, weights, {}, {}};
  const at::Tensor mask = c.mask().to(dtype), residual;
  const at::Tensor y = layer({residual, x, routing, u, v, gate, mask}, by_expert);
  const auto g = gradients_of((y * c.upstream.to(dtype)).sum(), {x, weights, u, v, gate});
  return {y, g[0], g[1], g[2], g[3], g[4], by_expert->u, by_expert->v};
}

LayerResult by_layer(const LayerCase& c, const Numerics& n) {
  return by_function(c, n.dtype, [&n](const CdspLayerInputs& in, const auto& by_expert) {
    return cdsp_layer(in.x, in.routing, in.u, in.v, in.gate, in.mask, by_expert, n.engine);
  });
}

LayerResult by_loop(const LayerCase& c) {
  const at::Tensor x = leaf(c.x), weights = leaf(c.weights), gate = leaf(c.gate);
  std::vector<at::Tensor> inputs = {x, weights, gate}, u, v;
  for (size_t i = 0; i < c.selection.size(); ++i) {
    u.push_back(leaf(c.u));
    v.push_back(leaf(c.v));
  }
  inputs.insert(inputs.end(), u.begin(), u.end());
  inputs.insert(inputs.end(), v.begin(), v.end());
  const at::Tensor y = loop_cdsp_layer(x, c.choices, weights, u, v, gate, c.selection);
  const auto g = gradients_of((y * c.upstream).sum(), inputs);
  const auto first_u = g.begin() + 3, first_v = first_u + static_cast<std::ptrdiff_t>(u.size());
  const at::Tensor u_by_expert = at::stack(std::vector<at::Tensor>(first_u, first_v));
  const at::Tensor v_by_expert = at::stack(std::vector<at::Tensor>(first_v, g.end()));
  return {y, g[0], g[1], u_by_expert.sum(0), v_by_expert.sum(0), g[2], u_by_expert, v_by_expert};
}

void check_same(const LayerResult& found, const LayerResult& expected, const at::Tensor& choices,
                double tolerance) {
  CHECK(relative_error(found.y, expected.y) < tolerance);
  CHECK(relative_error(found.x, expected.x) < tolerance);
  CHECK(relative_error(found.weights.gather(1, choices), expected.weights.gather(1, choices)) <
        tolerance);
  CHECK(relative_error(found.u, expected.u) < tolerance);
  CHECK(relative_error(found.v, expected.v) < tolerance);
  CHECK(relative_error(found.gate, expected.gate) < tolerance);
  CHECK(relative_error(found.u_by_expert, expected.u_by_expert) < tolerance);
  CHECK(relative_error(found.v_by_expert, expected.v_by_expert) < tolerance);
}

}  // namespace

TEST_CASE("the layer equals a loop over experts that gather their own columns") {
  Draw draw(1);
  for (const LayerShape& shape : layer_shapes(draw)) {
    const LayerCase c(shape, draw);
    const LayerResult expected = by_loop(c);
    for (const Numerics& n : all_numerics()) {
      INFO(describe(shape) << ", " << n.name);
      check_same(by_layer(c, n), expected, c.choices, n.tolerance);
    }
  }
}

TEST_CASE("both fused forms equal the loop on every shape, whichever of them pays") {
  Draw draw(8);
  for (const LayerShape& shape : layer_shapes(draw)) {
    LayerCase c(shape, draw);
    // One expert without a token, where there is another.
    if (shape.experts > shape.k) {
      c.choices = draw.choices(shape.tokens, shape.experts - 1, shape.k);
      c.weights = draw.weights_on(c.choices, shape.experts);
    }
    const LayerResult expected = by_loop(c);
    for (const Numerics& n : {all_numerics()[2], all_numerics()[3]}) {
      INFO(describe(shape) << ", " << n.name);
      check_same(by_function(c, n.dtype, cdsp_layer_dense_cpu), expected, c.choices, n.tolerance);
      check_same(by_function(c, n.dtype, cdsp_layer_grouped_cpu), expected, c.choices, n.tolerance);
    }
  }
}

TEST_CASE("experts may be idle in some blocks of tokens and busy in others") {
  Draw draw(12);
  const int64_t length = 600, tokens = 4 * length;
  REQUIRE(TokenBlocks(tokens, 2, 5).length() == length);
  LayerCase c({tokens, 6, 40, 5, 2, 17}, draw);
  // Experts 0 to 2, then 2 and 3, then all but 4, which stays idle.
  c.choices = at::cat(
      {draw.choices(length, 3, 2), draw.choices(length, 2, 2) + 2, draw.choices(2 * length, 4, 2)});
  c.weights = draw.weights_on(c.choices, 5);
  const LayerResult expected = by_loop(c);
  for (const Numerics& n : all_numerics()) {
    INFO(n.name);
    check_same(by_layer(c, n), expected, c.choices, n.tolerance);
  }
}

TEST_CASE("the layer takes tensors that lie in memory the other way round") {
  Draw draw(9);
  for (const int64_t rank : {5, 9}) {  // grouped, dense
    const LayerCase c({9, 6, 14, 4, 2, rank}, draw);
    const auto turned = [](const at::Tensor& value) { return value.t().contiguous().t(); };
    LayerCase other = c;
    for (at::Tensor* tensor : {&other.x, &other.weights, &other.u, &other.v, &other.upstream})
      *tensor = turned(*tensor);
    for (const Numerics& n : all_numerics()) {
      INFO("rank " << rank << ", " << n.name);
      check_same(by_function(other, n.dtype,
                             [&](const CdspLayerInputs& in, const auto& by_expert) {
                               return cdsp_layer(turned(in.x), in.routing, turned(in.u),
                                                 turned(in.v), in.gate, turned(in.mask), by_expert,
                                                 n.engine);
                             }),
                 by_layer(c, n), c.choices, n.tolerance);
    }
  }
}

TEST_CASE("the experts' gradients sum to the gradient of the backbone") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  Draw draw(2);
  for (const LayerShape& shape : layer_shapes(draw)) {
    INFO(describe(shape) << ", " << n.name);
    const LayerResult found = by_layer(LayerCase(shape, draw), n);
    CHECK(relative_error(found.u_by_expert.sum(0), found.u) < n.tolerance);
    CHECK(relative_error(found.v_by_expert.sum(0), found.v) < n.tolerance);
  }
}

TEST_CASE("an expert's gradient is zero outside its columns, and everywhere if it is idle") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  Draw draw(3);
  const LayerCase c({5, 4, 14, 6, 1, 4}, draw);
  const LayerResult found = by_layer(c, n);
  const at::Tensor mask = c.mask();
  for (int64_t expert = 0; expert < 6; ++expert) {
    const bool is_active = c.choices.eq(expert).any().item<bool>();
    const at::Tensor expected = is_active ? mask[expert] : at::zeros({14}, at::kDouble);
    INFO("expert " << expert << ", " << n.name);
    CHECK(at::equal(found.u_by_expert[expert].abs().sum(0).gt(0).to(at::kDouble), expected));
    CHECK(at::equal(found.v_by_expert[expert].abs().sum(1).gt(0).to(at::kDouble), expected));
  }
}

TEST_CASE("the layer's gradients agree with finite differences, the router's included") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  Draw draw(4);
  for (const LayerShape& shape : {LayerShape{7, 5, 11, 4, 2, 5}, LayerShape{5, 3, 8, 3, 3, 1},
                                  LayerShape{6, 4, 7, 3, 1, 7}}) {
    INFO(describe(shape) << ", " << n.name);
    const LayerCase c(shape, draw);
    const at::Tensor x = leaf(c.x), u = leaf(c.u), v = leaf(c.v), gate = leaf(c.gate);
    const at::Tensor logits = leaf(draw.normal({shape.tokens, shape.experts}));
    const at::Tensor mask = c.mask();
    std::vector<GradientInput> inputs = {{"x", x}, {"U", u}, {"V", v}, {"gate", gate}};
    if (shape.k > 1) inputs.push_back({"router logits", logits});
    check_gradients(
        [&] {
          const Routing routing = route_top_k(logits, shape.k, false);
          return (cdsp_layer(x, routing, u, v, gate, mask, nullptr, n.engine) * c.upstream).sum();
        },
        inputs);
  }
}

TEST_CASE("the answer does not depend on whether gradients are attributed or wanted at all") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(5);
  // A few tokens and several blocks of them; products in the dense form and expert by expert.
  for (const LayerShape& shape :
       {LayerShape{12, 5, 17, 4, 2, 8}, LayerShape{12, 5, 17, 4, 2, 12},
        LayerShape{900, 16, 40, 8, 2, 7}, LayerShape{900, 96, 40, 8, 1, 7},
        LayerShape{400, 72, 12, 3, 3, 4}}) {
    const LayerCase c(shape, draw);
    const Routing routing = {c.choices, c.weights.to(n.dtype), {}, {}};
    const at::Tensor x = c.x.to(n.dtype), v = c.v.to(n.dtype), gate = c.gate.to(n.dtype);
    const at::Tensor mask = c.mask().to(n.dtype), u = c.u.to(n.dtype);
    const at::Tensor wanted_of_u = u.clone().set_requires_grad(true);
    const at::Tensor residual = c.upstream.to(n.dtype);
    const auto layer = [&](const at::Tensor& of_u, const at::Tensor& base) {
      return cdsp_layer(x, routing, of_u, v, gate, mask, nullptr, n.engine, base);
    };
    const at::Tensor plain = layer(u, {}), added = layer(wanted_of_u, residual).detach();
    CHECK(at::equal(plain, by_layer(c, n).y));
    const at::NoGradGuard no_grad;
    CHECK(at::equal(plain, layer(wanted_of_u, {})));
    CHECK(at::equal(added, layer(wanted_of_u, residual)));
  }
}

TEST_CASE(
    "only some of the layer's inputs may want a gradient, and all outputs may share a slope") {
  // The gradient of a plain sum arrives expanded from one number, not as a table of its own.
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  Draw draw(6);
  LayerCase c({9, 5, 13, 4, 2, 6}, draw);
  c.upstream = at::ones_like(c.x);
  const LayerResult expected = by_loop(c);
  const Routing routing = {c.choices, c.weights, {}, {}};
  const at::Tensor u = leaf(c.u), gate = leaf(c.gate);
  const at::Tensor y = cdsp_layer(c.x, routing, u, c.v, c.gate, c.mask(), nullptr, n.engine);
  CHECK(relative_error(gradients_of(y.sum(), {u})[0], expected.u) < n.tolerance);
  const at::Tensor z = cdsp_layer(c.x, routing, c.u, c.v, gate, c.mask(), nullptr, n.engine);
  CHECK(relative_error(gradients_of(z.sum(), {gate})[0], expected.gate) < n.tolerance);
}

TEST_CASE("the layer gives the same bytes every time") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(7);
  const LayerCase c({1700, 16, 64, 8, 2, 23}, draw);
  const LayerResult once = by_layer(c, n), again = by_layer(c, n);
  CHECK(same_bytes(once.y, again.y));
  CHECK(same_bytes(once.x, again.x));
  CHECK(same_bytes(once.gate, again.gate));
  CHECK(same_bytes(once.u_by_expert, again.u_by_expert));
  CHECK(same_bytes(once.v_by_expert, again.v_by_expert));
}

TEST_CASE("one block program takes tokens of 64 numbers with four experts, in full precision") {
  const auto fits = [](int64_t d, int64_t k, Precision precision) {
    const at::Tensor x = at::zeros({3, d}), weights = at::zeros({3, 6}),
                     indices = at::zeros({3, k}, at::kLong), u = at::zeros({d, 9}),
                     v = at::zeros({9, d}), gate = at::zeros({6}), mask = at::zeros({6, 9});
    return gated_experts_fit({x, weights, indices, u, v, gate, mask}, precision);
  };
  CHECK(fits(64, 4, Precision::kFull));
  CHECK(fits(1, 1, Precision::kFull));
  CHECK_FALSE(fits(65, 4, Precision::kFull));
  CHECK_FALSE(fits(64, 5, Precision::kFull));
  CHECK_FALSE(fits(64, 4, Precision::kTf32));
  CHECK_FALSE(fits(64, 4, Precision::kBf16));
}

TEST_CASE("a residual is added to the layer's answer, and its gradient is the upstream") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  Draw draw(10);
  for (const LayerShape& shape : {LayerShape{30, 64, 40, 4, 2, 9}, LayerShape{30, 7, 41, 4, 2, 9},
                                  LayerShape{30, 66, 40, 4, 2, 9}}) {
    INFO(describe(shape) << ", " << n.name);
    const LayerCase c(shape, draw);
    const LayerResult plain = by_layer(c, n);
    const at::Tensor residual =
        draw.normal({shape.tokens, shape.d}).to(n.dtype).set_requires_grad(true);
    const LayerResult added =
        by_function(c, n.dtype, [&](const CdspLayerInputs& in, const auto& by_expert) {
          return cdsp_layer(in.x, in.routing, in.u, in.v, in.gate, in.mask, by_expert, n.engine,
                            residual);
        });
    CHECK(relative_error(added.y - residual, plain.y) < n.tolerance);
    check_same(added,
               {added.y, plain.x, plain.weights, plain.u, plain.v, plain.gate, plain.u_by_expert,
                plain.v_by_expert},
               c.choices, n.tolerance);
    const Routing routing = {c.choices, c.weights.to(n.dtype), {}, {}};
    const at::Tensor y =
        cdsp_layer(c.x.to(n.dtype), routing, c.u.to(n.dtype), c.v.to(n.dtype), c.gate.to(n.dtype),
                   c.mask().to(n.dtype), nullptr, n.engine, residual);
    CHECK(at::equal(gradients_of((y * c.upstream.to(n.dtype)).sum(), {residual})[0],
                    c.upstream.to(n.dtype)));
  }
}

TEST_CASE("the layer's tensors may begin anywhere in memory") {
  const Numerics n = GENERATE(from_range(all_numerics()));
  INFO(n.name);
  Draw draw(11);
  const LayerCase c({30, 12, 40, 4, 2, 9}, draw);
  const auto moved = [](const at::Tensor& value) {
    const at::Tensor place = at::empty({value.numel() + 1}, value.options());
    return place.narrow(0, 1, value.numel()).view(value.sizes()).copy_(value);
  };
  const LayerResult found =
      by_function(c, n.dtype, [&](const CdspLayerInputs& in, const auto& by_expert) {
        return cdsp_layer(moved(in.x), in.routing, moved(in.u), moved(in.v), in.gate,
                          moved(in.mask), by_expert, n.engine);
      });
  check_same(found, by_layer(c, n), c.choices, n.tolerance);
}
