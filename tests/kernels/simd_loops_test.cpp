// The loops of every instruction set, in both dtypes, against LibTorch in float64, at lengths that
// whole registers divide and that they do not.
#include "kernels/simd_loops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include "support/available_loops.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

const std::vector<int64_t> kLengths = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 70};

/// body(loops, tolerance): for every instruction set, in float and double.
template <typename Body>
void for_all_loops(const Body& body) {
  for (const SimdLoops<double>* loops : available_loops<double>()) {
    INFO(loops->name << ", float64");
    body(*loops, 1e-12);
  }
  for (const SimdLoops<float>* loops : available_loops<float>()) {
    INFO(loops->name << ", float32");
    body(*loops, 2e-5);
  }
}

/// The tensor in the loops' dtype, contiguous and its own, at an address that no register's size
/// divides: the loops take rows from anywhere.
template <typename T>
at::Tensor as(const SimdLoops<T>&, const at::Tensor& tensor) {
  const auto dtype = std::is_same_v<T, float> ? at::kFloat : at::kDouble;
  const at::Tensor memory = at::empty({tensor.numel() + 1}, dtype);
  return memory.narrow(0, 1, tensor.numel()).view(tensor.sizes()).copy_(tensor);
}

template <typename T>
T* data(const SimdLoops<T>&, const at::Tensor& tensor) {
  return tensor.data_ptr<T>();
}

}  // namespace

TEST_CASE("every instruction set's activations, sums and copies") {
  Draw draw(1);
  for (const int64_t n : kLengths) {
    const at::Tensor z = draw.normal({n}) * 4.0, a = draw.normal({n}), b = draw.normal({n});
    const at::Tensor s = at::sigmoid(z), slope = s * (1.0 + z * (1.0 - s));
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO(n << " numbers");
      const auto in = [&](const at::Tensor& tensor) { return as(loops, tensor); };
      const auto p = [&](const at::Tensor& tensor) { return data(loops, tensor); };
      const at::Tensor x = in(z), left = in(a), right = in(b), out = in(b), second = in(b);
      loops.silu(n, p(x), p(out));
      CHECK(relative_error(out, z * s) < tolerance);
      loops.gated_silu(n, p(x), p(left), p(out));
      CHECK(relative_error(out, z * s * a) < tolerance);
      loops.silu_backward(n, p(x), p(left), p(out), p(second));
      CHECK(relative_error(out, z * s) < tolerance);
      CHECK(relative_error(second, a * slope) < tolerance);
      second.copy_(a);
      const double inner = loops.scaled_silu_backward(n, 3, p(x), p(out), p(second));
      CHECK(relative_error(out, 3.0 * z * s) < tolerance);
      CHECK(relative_error(second, 3.0 * a * slope) < tolerance);
      CHECK(std::abs(inner - (a * z * s).sum().item<double>()) <
            tolerance * (1.0 + (a * z * s).abs().sum().item<double>()));
      loops.multiply(n, p(left), p(right), p(out));
      CHECK(relative_error(out, a * b) < tolerance);
      out.copy_(a);
      loops.multiply(n, p(out), p(right), p(out));
      CHECK(relative_error(out, a * b) < tolerance);
      out.copy_(b);
      loops.add_scaled(n, 3, p(left), p(out));
      CHECK(relative_error(out, b + 3.0 * a) < tolerance);
      loops.scale(n, 3, p(left), p(left));
      CHECK(relative_error(left, 3.0 * a) < tolerance);
      const std::vector<decltype(p(left))> rows = {p(left), p(x)};  // left is 3 a by now
      const at::Tensor factors = in(at::tensor(std::vector<double>{2.0, -0.5}));
      loops.sum_rows(n, 2, p(right), p(factors), rows.data(), p(out));
      CHECK(relative_error(out, b + 6.0 * a - 0.5 * z) < tolerance);
      out.copy_(b);
      loops.sum_rows(n, 2, p(out), p(factors), rows.data(), p(out));
      CHECK(relative_error(out, b + 6.0 * a - 0.5 * z) < tolerance);
      loops.sum_rows(n, 2, nullptr, nullptr, rows.data(), p(out));
      CHECK(relative_error(out, 3.0 * a + z) < tolerance);
      const double dot = loops.dot(n, p(x), p(right));
      CHECK(std::abs(dot - (z * b).sum().item<double>()) <
            tolerance * (1.0 + (z * b).abs().sum().item<double>()));
    });
  }
}

TEST_CASE("every instruction set scales rows and leaves what stands beside them") {
  Draw draw(2);
  for (const int64_t n : kLengths) {
    const at::Tensor table = draw.normal({5, n + 3}), factors = draw.normal({4});
    at::Tensor expected = table.clone();
    expected.narrow(0, 0, 4).narrow(1, 0, n).mul_(factors.unsqueeze(1));
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO("rows of " << n);
      const at::Tensor scaled = as(loops, table.clone()), scales = as(loops, factors);
      loops.scale_rows(4, n, data(loops, scales), data(loops, scaled), n + 3);
      CHECK(relative_error(scaled, expected) < tolerance);
      CHECK(at::equal(scaled.narrow(1, n, 3), as(loops, table).narrow(1, n, 3)));
      CHECK(at::equal(scaled[4], as(loops, table)[4]));
    });
  }
}

TEST_CASE("every instruction set multiplies all pairs of rows, with the bytes of single products") {
  Draw draw(12);
  for (const int64_t n : kLengths) {
    for (const int64_t rows : {1, 2, 3, 4, 7, 8, 13}) {
      const at::Tensor table = draw.normal({rows, n + 2});
      for_all_loops([&](const auto& loops, double tolerance) {
        INFO(rows << " rows of " << n);
        const at::Tensor from = as(loops, table), to = as(loops, at::zeros({rows, rows}));
        loops.gramian(rows, n, data(loops, from), n + 2, data(loops, to));
        const at::Tensor exact = table.narrow(1, 0, n);
        CHECK(relative_error(to, at::mm(exact, exact.t())) < 10 * tolerance);
        const auto* row = data(loops, from);
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t j = 0; j < rows; ++j) {
            CHECK(data(loops, to)[i * rows + j] ==
                  loops.dot(n, row + i * (n + 2), row + j * (n + 2)));
          }
        }
      });
    }
  }
}

TEST_CASE("every instruction set's norms and their gradients") {
  Draw draw(3);
  constexpr double kEpsilon = 1e-5;
  for (const int64_t n : kLengths) {
    const at::Tensor x = draw.normal({n}) + 0.5, w = draw.normal({n}), e = draw.normal({n});
    const at::Tensor more = draw.normal({n}), before = draw.normal({n});
    const double r = 1.0 / std::sqrt(x.square().mean().item<double>() + kEpsilon);
    const at::Tensor d_x = e * w * r - x * ((e * w * x).mean() * r * r * r);
    const at::Tensor centred = x - x.mean();
    const double lr = 1.0 / std::sqrt(centred.square().mean().item<double>() + kEpsilon);
    const at::Tensor y = centred * lr;
    const at::Tensor d_layer = (e - e.mean() - y * (e * y).mean()) * lr;
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO(n << " features");
      const auto in = [&](const at::Tensor& tensor) { return as(loops, tensor); };
      const auto p = [&](const at::Tensor& tensor) { return data(loops, tensor); };
      const at::Tensor row = in(x), weight = in(w), upstream = in(e), out = in(e), d_w = in(before);
      CHECK(loops.rms_norm(n, kEpsilon, p(row), p(weight), p(out)) ==
            Catch::Approx(r).epsilon(tolerance));
      CHECK(relative_error(out, x * r * w) < tolerance);
      loops.rms_norm_backward(n, kEpsilon, p(row), p(weight), p(upstream), nullptr, p(out), p(d_w));
      // One feature alone has no gradient but what epsilon leaves.
      const double bound = n == 1 ? 1e-2 : 5 * tolerance;
      CHECK(relative_error(out, d_x) < bound);
      CHECK(relative_error(d_w, before + e * x * r) < tolerance);
      const at::Tensor addend = in(more);
      loops.rms_norm_backward(n, kEpsilon, p(row), p(weight), p(upstream), p(addend), p(addend),
                              p(d_w));
      CHECK(relative_error(addend, more + d_x) < 5 * tolerance);
      const auto found = loops.layer_norm(n, kEpsilon, p(row), p(out));
      if (n > 1) {
        CHECK(found == Catch::Approx(lr).epsilon(5 * tolerance));
        CHECK(relative_error(out, y) < 5 * tolerance);
      }
      const at::Tensor sum = in(more), normal = in(y);
      const double layer_bound = n == 1 ? 1e-2 : 5 * tolerance;
      loops.layer_norm_backward(n, static_cast<decltype(found)>(lr), p(normal), p(upstream), p(sum),
                                p(sum));
      CHECK(relative_error(sum, more + d_layer) < layer_bound);
      loops.layer_norm_backward(n, static_cast<decltype(found)>(lr), p(normal), p(upstream),
                                nullptr, p(sum));
      CHECK(relative_error(sum + 1.0, d_layer + 1.0) < layer_bound);
    });
  }
}

TEST_CASE("every instruction set turns heads, and back") {
  Draw draw(4);
  for (const int64_t half : {1, 2, 4, 5, 8, 16}) {
    const at::Tensor row = draw.normal({3, half, 2}), angle = draw.normal({half});
    const at::Tensor turns = at::stack({angle.cos(), angle.sin()}, 1);
    const at::Tensor even = row.select(2, 0), odd = row.select(2, 1);
    const at::Tensor turned = at::stack(
        {even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()}, 2);
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO("heads of " << 2 * half);
      const at::Tensor x = as(loops, row), by = as(loops, turns);
      loops.rotate(3, 2 * half, data(loops, by), 1, data(loops, x));
      CHECK(relative_error(x, turned) < tolerance);
      loops.rotate(3, 2 * half, data(loops, by), -1, data(loops, x));
      CHECK(relative_error(x, row) < tolerance);
    });
  }
}

TEST_CASE("every instruction set's softmax over rows, large numbers too") {
  Draw draw(5);
  for (const int64_t n : kLengths) {
    const int64_t rows = draw.between(1, 40);
    const at::Tensor drawn = draw.normal({rows, n}) * 300.0;
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO(rows << " rows of " << n << " logits");
      // Rows longer than their logits, as a padded product leaves them.
      const at::Tensor table = as(loops, at::full({rows, n + 3}, 1e9, at::kDouble));
      const at::Tensor logits = table.narrow(1, 0, n);
      logits.copy_(drawn);
      const at::Tensor expected = at::softmax(logits.to(at::kDouble), 1);
      const at::Tensor scratch = as(loops, at::zeros({n * kQueryLanes}));
      const at::Tensor out = as(loops, at::zeros({rows, n}));
      const auto run = [&] {
        loops.softmax(rows, n, data(loops, table), n + 3, data(loops, scratch), data(loops, out));
      };
      run();
      CHECK(relative_error(out, expected) < tolerance);
      // No number shows in its own row, wherever it stands, and in no other.
      for (const int64_t bad : {int64_t{0}, n / 2, n - 1}) {
        logits.copy_(drawn);
        logits[rows - 1][bad] = std::nan("");
        run();
        CHECK(at::isnan(out[rows - 1]).all().template item<bool>());
        CHECK_FALSE(at::isnan(out.narrow(0, 0, rows - 1)).any().template item<bool>());
      }
    });
  }
}

TEST_CASE("every instruction set transposes tiles of any size and leaves the rest alone") {
  Draw draw(11);
  for (int i = 0; i < 30; ++i) {
    const int64_t rows = draw.between(1, 21), columns = draw.between(1, 21);
    const at::Tensor from = draw.normal({rows, columns + 2});
    for_all_loops([&](const auto& loops, double) {
      INFO(rows << " rows, " << columns << " columns");
      const at::Tensor table = as(loops, from);
      const at::Tensor to = as(loops, at::full({columns + 1, rows + 3}, 7.0, at::kDouble));
      const at::Tensor expected = to.clone();
      expected.narrow(0, 0, columns).narrow(1, 0, rows).copy_(table.narrow(1, 0, columns).t());
      loops.transpose(rows, columns, data(loops, table), columns + 2, data(loops, to), rows + 3);
      CHECK(at::equal(to, expected));
    });
  }
}

TEST_CASE("every instruction set's causal softmax, a query a lane, forward and backward") {
  Draw draw(6);
  constexpr double kScale = 0.25;
  for (const auto& [keys, first] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 0}, {3, 0}, {16, 0}, {17, 16}, {32, 16}, {40, 32}, {48, 32}, {1, -15}, {5, -11}}) {
    // Lanes before the first query are padding: what they become is nobody's concern.
    const int64_t padding = std::max<int64_t>(0, -first), lanes = kQueryLanes - padding;
    const auto of_queries = [&](const at::Tensor& table) {
      return table.narrow(1, padding, lanes);
    };
    for (const double size : {1.0, 1e5}) {
      const at::Tensor drawn = draw.normal({keys, kQueryLanes}) * size;
      const at::Tensor e = draw.normal({keys, kQueryLanes});
      const at::Tensor key = at::arange(keys, at::kLong).unsqueeze(1),
                       query = at::arange(kQueryLanes, at::kLong) + first;
      const at::Tensor is_unseen = key > query;
      for_all_loops([&](const auto& loops, double tolerance) {
        INFO(keys << " keys, queries from " << first << " on, scores of " << size);
        // In the middle of a larger table.
        const int64_t row = kQueryLanes + 8;
        const at::Tensor table = as(loops, at::full({keys, row}, 7.0));
        const at::Tensor scores = table.narrow(1, 0, kQueryLanes);
        scores.copy_(drawn);
        const at::Tensor exact =
            (scores.to(at::kDouble) * kScale)
                .masked_fill(is_unseen, -std::numeric_limits<double>::infinity());
        const at::Tensor p = of_queries(at::softmax(exact, 0)), up = of_queries(e);
        const at::Tensor d_exact = kScale * p * (up - (p * up).sum(0));
        const auto is_zero_where_unseen = [&](const at::Tensor& found) {
          const at::Tensor unseen = found.masked_select(of_queries(is_unseen));
          return unseen.abs().sum().template item<double>() == 0;
        };
        const at::Tensor largest = as(loops, at::zeros({kQueryLanes})), inverse = largest.clone();
        loops.causal_softmax(keys, first, row, kScale, data(loops, table), data(loops, largest),
                             data(loops, inverse));
        CHECK(relative_error(of_queries(scores * inverse), p) < tolerance);
        CHECK(is_zero_where_unseen(of_queries(scores)));
        CHECK(
            at::equal(table.narrow(1, kQueryLanes, 8), at::full_like(table, 7.0).narrow(1, 0, 8)));
        scores.copy_(drawn);
        const at::Tensor d = as(loops, at::full({keys, row}, 7.0));
        d.narrow(1, 0, kQueryLanes).copy_(e);
        loops.causal_softmax_backward(keys, first, row, kScale, data(loops, largest),
                                      data(loops, inverse), data(loops, table), data(loops, d));
        CHECK(relative_error(of_queries(scores), p) < tolerance);
        const at::Tensor slopes = of_queries(d.narrow(1, 0, kQueryLanes));
        CHECK((slopes.to(at::kDouble) - d_exact).abs().max().item<double>() < 5 * tolerance);
        CHECK(is_zero_where_unseen(slopes));
      });
    }
  }
}

TEST_CASE("a score that is no number shows in the causal softmax of every instruction set") {
  for_all_loops([&](const auto& loops, double) {
    for (const int64_t bad : {0, 1, 2}) {
      INFO("key " << bad);
      const at::Tensor scores = as(loops, at::ones({3, kQueryLanes}));
      scores[bad].fill_(std::nan(""));
      const at::Tensor largest = as(loops, at::zeros({kQueryLanes})), inverse = largest.clone();
      loops.causal_softmax(3, 4, kQueryLanes, 1, data(loops, scores), data(loops, largest),
                           data(loops, inverse));
      CHECK(at::isnan(inverse).all().template item<bool>());
    }
  });
}

TEST_CASE("every instruction set chooses the k largest, ties to the lowest index") {
  Draw draw(7);
  for (const int64_t n : kLengths) {
    for (const int64_t k : {int64_t{1}, (n + 1) / 2, n}) {
      const int64_t tokens = draw.between(1, 40);
      const at::Tensor logits = (draw.normal({tokens, n}) * 2.0).round();  // with ties
      logits[0].fill_(-std::numeric_limits<double>::infinity());
      logits[0][n - 1] = 1.0;
      const at::Tensor order =
          std::get<1>(at::sort(logits, /*stable=*/true, 1, /*descending=*/true)).narrow(1, 0, k);
      for_all_loops([&](const auto& loops, double tolerance) {
        INFO(k << " of " << n << ", " << tokens << " tokens");
        // Rows longer than their logits, as a padded product leaves them.
        const at::Tensor in = as(loops, at::full({tokens, n + 3}, 1e9, at::kDouble));
        in.narrow(1, 0, n).copy_(logits);
        const at::Tensor chosen = as(loops, at::zeros({tokens, k}));
        const at::Tensor scratch = as(loops, at::zeros({(n + k) * kQueryLanes}));
        const at::Tensor indices = at::zeros({tokens, k}, at::kLong);
        loops.top_k(tokens, n, k, data(loops, in), n + 3, data(loops, scratch),
                    indices.data_ptr<int64_t>(), data(loops, chosen));
        CHECK(at::equal(indices, order));
        CHECK(relative_error(chosen, at::softmax(logits.gather(1, order), 1)) < tolerance);
        // No number shows in its own token and in no other; the indices stay usable.
        const int64_t last = tokens - 1;
        in[last][n / 2] = std::nan("");
        loops.top_k(tokens, n, k, data(loops, in), n + 3, data(loops, scratch),
                    indices.data_ptr<int64_t>(), data(loops, chosen));
        CHECK(at::isnan(chosen[last]).all().template item<bool>());
        CHECK_FALSE(at::isnan(chosen.narrow(0, 0, last)).any().template item<bool>());
        const at::Tensor sorted = std::get<0>(at::sort(indices[last], 0));
        CHECK(sorted[0].template item<int64_t>() >= 0);
        CHECK(sorted[k - 1].template item<int64_t>() < n);
        if (k > 1) CHECK(sorted.diff().min().template item<int64_t>() > 0);
      });
    }
  }
}

TEST_CASE("every instruction set's AdamW follows the equations from the scalars in double") {
  Draw draw(8);
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8, kRate = 3e-3, kKeep = 0.99;
  const double root = 1.0 / std::sqrt(1.0 - std::pow(kBeta2, 7.0));
  for (const int64_t n : kLengths) {
    const at::Tensor g = draw.normal({n}), p = draw.normal({n}), m = draw.normal({n}),
                     v = draw.normal({n}).square();
    const at::Tensor new_m = kBeta1 * m + (1.0 - kBeta1) * g,
                     new_v = kBeta2 * v + (1.0 - kBeta2) * g * g;
    const at::Tensor new_p = p * kKeep - kRate * new_m / (new_v.sqrt() * root + kEpsilon);
    for_all_loops([&](const auto& loops, double tolerance) {
      INFO(n << " parameters");
      const AdamWStep step{kBeta1,       kBeta2, kEpsilon, 1.0 - kBeta1,
                           1.0 - kBeta2, kRate,  kKeep,    root};
      const at::Tensor parameter = as(loops, p), first = as(loops, m), second = as(loops, v),
                       gradient = as(loops, g);
      loops.adamw(n, step, data(loops, gradient), data(loops, parameter), data(loops, first),
                  data(loops, second));
      CHECK(relative_error(first, new_m) < tolerance);
      CHECK(relative_error(second, new_v) < tolerance);
      CHECK(relative_error(parameter, new_p) < tolerance);
      // From nothing, the second moment is (1 - beta2) g^2 to the last digits of its dtype.
      second.zero_();
      loops.adamw(n, step, data(loops, gradient), data(loops, parameter), data(loops, first),
                  data(loops, second));
      CHECK(relative_error(second, (1.0 - kBeta2) * g * g) < tolerance / 50);
    });
  }
}
