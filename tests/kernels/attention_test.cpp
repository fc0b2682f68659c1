// Rotary positions and attention against plain loops.
#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "kernels/causal_attention.h"
#include "kernels/rotary.h"
#include "kernels/rotary_attention.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct AttentionShape {
  int64_t batch, positions, heads, kv_heads, d_head;

  std::string text() const {
    return std::to_string(positions) + " positions, " + std::to_string(heads) + " heads on " +
           std::to_string(kv_heads) + ", head width " + std::to_string(d_head);
  }
};

std::vector<AttentionShape> attention_shapes(Draw& draw) {
  std::vector<AttentionShape> shapes = {{2, 5, 4, 2, 6},
                                        {3, 7, 4, 4, 2},
                                        {1, 6, 6, 1, 4},
                                        {2, 1, 2, 1, 2},
                                        {1, 49, 4, 2, 16},
                                        {1, 17, 3, 3, 10},
                                        // Wide heads, whose tiles of the CUDA kernels are smaller.
                                        {1, 70, 2, 1, 32},
                                        {1, 70, 2, 1, 34},
                                        {1, 70, 2, 2, 66},
                                        {1, 40, 1, 1, 128},
                                        // Several blocks and tiles of queries that begin in the
                                        // middle of a group; a group of more queries than a block.
                                        {1, 150, 3, 1, 8},
                                        {2, 9, 20, 1, 66},
                                        // The way back in one block and as two programs: the most
                                        // positions of float32 and of float64, one more, and tiles
                                        // that begin in the middle of a group.
                                        {1, 56, 1, 1, 16},
                                        {2, 57, 4, 2, 16},
                                        {1, 32, 6, 2, 12},
                                        {1, 33, 3, 1, 8},
                                        {2, 30, 15, 1, 4}};
  for (int i = 0; i < 6; ++i) {
    const int64_t kv_heads = draw.between(1, 3);
    shapes.push_back({draw.between(1, 3), draw.between(1, 70), kv_heads * draw.between(1, 3),
                      kv_heads, 2 * draw.between(1, 12)});
  }
  return shapes;
}

struct AttentionCase {
  at::Tensor q, k, v;

  AttentionCase(const AttentionShape& s, Draw& draw)
      : q(draw.normal({s.batch, s.positions, s.heads, s.d_head})),
        k(draw.normal({s.batch, s.positions, s.kv_heads, s.d_head})),
        v(draw.normal({s.batch, s.positions, s.kv_heads, s.d_head})) {}

  /// The three side by side, as a block projects them.
  at::Tensor packed() const { return at::cat({q.flatten(2), k.flatten(2), v.flatten(2)}, 2); }
};

at::Tensor turned(const at::Tensor& x) {
  return apply_rotary(x, rotary_turns(x.size(1), x.size(3), x));
}

at::Tensor packed_attention(const at::Tensor& qkv, const AttentionShape& s, Engine engine) {
  return rotary_attention(qkv, s.heads, s.kv_heads, rotary_turns(s.positions, s.d_head, qkv),
                          causal_mask(s.positions, at::kCPU), engine);
}

at::Tensor loop_packed_attention(const AttentionCase& c) {
  return loop_causal_attention(loop_rotary(c.q), loop_rotary(c.k), c.v).flatten(2);
}

}  // namespace

TEST_CASE("rotary turns every adjacent pair by its own 2x2 rotation") {
  Draw draw(4);
  for (const int64_t width : {2, 6, 16}) {
    INFO("width " << width);
    const at::Tensor x = draw.normal({2, 11, 3, width});
    CHECK(relative_error(turned(x), loop_rotary(x)) < 1e-13);
    CHECK(relative_error(turned(x.to(at::kFloat)), loop_rotary(x)) < 1e-6);
  }
}

TEST_CASE("rotary leaves the first position as it is") {
  const at::Tensor x = Draw(5).normal({2, 3, 2, 4});
  CHECK(at::equal(turned(x).select(1, 0), x.select(1, 0)));
}

TEST_CASE("after rotary a score depends on the distance of its two positions alone") {
  Draw draw(6);
  const at::Tensor q = draw.normal({1, 1, 1, 8}), k = draw.normal({1, 1, 1, 8});
  const at::Tensor queries = turned(q.expand({1, 20, 1, 8}).contiguous()).view({20, 8});
  const at::Tensor keys = turned(k.expand({1, 20, 1, 8}).contiguous()).view({20, 8});
  const auto score = [&](int64_t s, int64_t t) { return queries[s].dot(keys[t]).item<double>(); };
  for (const int64_t distance : {0, 1, 3}) {
    CHECK(score(15 + distance, 15) == Catch::Approx(score(distance, 0)));
  }
  CHECK(std::abs(score(5, 0) - score(1, 0)) > 1e-3);
}

TEST_CASE("the angles are computed in float64 also for float32") {
  // float32 holds 4095 times the second frequency to 1e-5 at best.
  const at::Tensor turns = rotary_turns(4096, 6, at::zeros({1}, at::kFloat));
  const at::Tensor last = at::view_as_real(turns)[4095][1];
  const double angle = 4095.0 * std::pow(10000.0, -2.0 / 6.0);
  CHECK(last[0].item<double>() == Catch::Approx(std::cos(angle)).margin(1e-7));
  CHECK(last[1].item<double>() == Catch::Approx(std::sin(angle)).margin(1e-7));
}

TEST_CASE("the gradient of rotary agrees with finite differences") {
  Draw draw(7);
  const at::Tensor x = leaf(draw.normal({2, 4, 2, 6})), upstream = draw.normal({2, 4, 2, 6});
  check_gradients([&] { return (turned(x) * upstream).sum(); }, {{"x", x}});
}

TEST_CASE("attention equals a loop over images, heads and positions") {
  Draw draw(8);
  for (const AttentionShape& shape : attention_shapes(draw)) {
    INFO(shape.text());
    const AttentionCase c(shape, draw);
    const at::Tensor future = causal_mask(shape.positions, at::kCPU);
    const at::Tensor found = causal_attention(c.q, c.k, c.v, future);
    CHECK(relative_error(found, loop_causal_attention(c.q, c.k, c.v)) < 1e-12);
  }
}

TEST_CASE("rotary attention on packed projections equals the loops") {
  Draw draw(9);
  for (const AttentionShape& shape : attention_shapes(draw)) {
    const AttentionCase c(shape, draw);
    const at::Tensor expected = loop_packed_attention(c);
    for (const Numerics& n : piece_numerics()) {
      INFO(shape.text() << ", " << n.name);
      const at::Tensor found = packed_attention(c.packed().to(n.dtype), shape, n.engine);
      CHECK(found.scalar_type() == n.dtype);
      CHECK(relative_error(found, expected) < n.tolerance);
    }
  }
}

TEST_CASE("the first token attends to itself alone") {
  const Numerics n = GENERATE(from_range(exact_piece_numerics()));
  INFO(n.name);
  Draw draw(10);
  const AttentionShape shape = {2, 6, 4, 2, 4};
  const AttentionCase c(shape, draw);
  const at::Tensor y = packed_attention(c.packed(), shape, n.engine).view({2, 6, 4, 4});
  for (int64_t head = 0; head < 4; ++head) {
    INFO("head " << head);
    const at::Tensor own_value = c.v.select(1, 0).select(1, head / 2);
    CHECK(relative_error(y.select(1, 0).select(1, head), own_value) < 1e-14);
  }
}

TEST_CASE("no token sees a later one") {
  const Numerics n = GENERATE(from_range(exact_piece_numerics()));
  INFO(n.name);
  Draw draw(11);
  const AttentionShape shape = {1, 6, 2, 1, 4};
  const at::Tensor qkv = AttentionCase(shape, draw).packed();
  at::Tensor changed = qkv.clone();
  changed.narrow(1, 4, 2).add_(1.0);
  const at::Tensor before = packed_attention(qkv, shape, n.engine);
  const at::Tensor after = packed_attention(changed, shape, n.engine);
  CHECK(at::equal(after.narrow(1, 0, 4), before.narrow(1, 0, 4)));
  CHECK_FALSE(at::equal(after.narrow(1, 4, 2), before.narrow(1, 4, 2)));
}

TEST_CASE("consecutive query heads share a key/value head") {
  const Numerics n = GENERATE(from_range(exact_piece_numerics()));
  INFO(n.name);
  Draw draw(12);
  const AttentionShape shape = {1, 3, 6, 2, 2};
  AttentionCase c(shape, draw);
  const at::Tensor before = packed_attention(c.packed(), shape, n.engine);
  AttentionCase other = c;
  other.v = c.v.clone();
  other.v.select(2, 1).add_(1.0);
  const at::Tensor change =
      (packed_attention(other.packed(), shape, n.engine) - before).view({1, 3, 6, 2});
  CHECK(at::equal(change.narrow(2, 0, 3), at::zeros({1, 3, 3, 2}, at::kDouble)));
  CHECK(relative_error(change.narrow(2, 3, 3), at::ones({1, 3, 3, 2}, at::kDouble)) < 1e-12);
}

TEST_CASE("the kernels of attention take tensors that start anywhere in memory") {
  Draw draw(16);
  const AttentionShape shape = {2, 9, 4, 2, 6};
  const AttentionCase c(shape, draw);
  const at::Tensor upstream = draw.normal(c.q.sizes()).flatten(2);
  const auto moved_by = [](int64_t numbers, const at::Tensor& x) {
    return at::empty({x.numel() + numbers}, x.options())
        .narrow(0, numbers, x.numel())
        .view_as(x)
        .copy_(x);
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    INFO(at::toString(dtype));
    const auto answers = [&](int64_t numbers) -> std::vector<at::Tensor> {
      const at::Tensor qkv = moved_by(numbers, c.packed().to(dtype)).set_requires_grad(true);
      const at::Tensor y = packed_attention(qkv, shape, Engine::kEmulated);
      y.backward(moved_by(numbers, upstream.to(dtype)));
      return {y.detach(), qkv.grad()};
    };
    const std::vector<at::Tensor> expected = answers(0), found = answers(1);
    for (size_t i = 0; i < 2; ++i) CHECK(at::equal(found[i], expected[i]));
  }
}

TEST_CASE("large scores do not overflow the attention's softmax") {
  Draw draw(13);
  const AttentionShape shape = {1, 5, 2, 1, 4};
  AttentionCase c(shape, draw);
  c.q *= 1e4;
  c.k *= 1e4;
  for (const Numerics& n : piece_numerics()) {
    INFO(n.name);
    const at::Tensor y = packed_attention(c.packed().to(n.dtype), shape, n.engine);
    CHECK(at::isfinite(y).all().item<bool>());
    CHECK(y.abs().max().item<double>() <= c.v.abs().max().item<double>() * (1.0 + 1e-6));
  }
}

TEST_CASE("the gradients of attention agree with finite differences") {
  const Numerics n = GENERATE(from_range(exact_piece_numerics()));
  INFO(n.name);
  Draw draw(14);
  for (const AttentionShape& shape :
       {AttentionShape{2, 4, 4, 2, 4}, AttentionShape{1, 5, 3, 1, 2}, AttentionShape{1, 1, 2, 2, 6},
        AttentionShape{1, 6, 7, 1, 4}}) {
    INFO(shape.text());
    const AttentionCase c(shape, draw);
    const at::Tensor q = leaf(c.q), k = leaf(c.k), v = leaf(c.v);
    const at::Tensor upstream = draw.normal(c.q.sizes());
    const at::Tensor future = causal_mask(shape.positions, at::kCPU);
    if (shape.positions > 1) {
      check_gradients([&] { return (causal_attention(q, k, v, future) * upstream).sum(); },
                      {{"q", q}, {"k", k}, {"v", v}});
    }
    const at::Tensor qkv = leaf(c.packed());
    check_gradients(
        [&] { return (packed_attention(qkv, shape, n.engine) * upstream.flatten(2)).sum(); },
        {{"q, k and v", qkv}});
  }
}

TEST_CASE("attention in float32 has the gradients of float64") {
  Draw draw(15);
  for (const AttentionShape& shape : attention_shapes(draw)) {
    const AttentionCase c(shape, draw);
    const at::Tensor upstream = draw.normal(c.q.sizes()).flatten(2);
    const auto gradient = [&](const Numerics& n) {
      const at::Tensor qkv = c.packed().to(n.dtype).set_requires_grad(true);
      const at::Tensor y = packed_attention(qkv, shape, n.engine);
      return gradients_of((y * upstream.to(n.dtype)).sum(), {qkv})[0];
    };
    const at::Tensor expected = gradient(piece_numerics()[0]);
    for (const Numerics& n : piece_numerics()) {
      INFO(shape.text() << ", " << n.name);
      CHECK(relative_error(gradient(n), expected) < n.tolerance);
    }
  }
}
