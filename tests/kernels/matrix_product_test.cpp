// Products of fewer bits against float64, against exact integers, and their gradients.
#include "kernels/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct ReducedPrecision {
  Precision precision;
  double unit;  // the largest relative error of one operand
};

std::vector<ReducedPrecision> reduced_precisions() {
  return {{Precision::kTf32, 1.0 / 1024}, {Precision::kBf16, 1.0 / 256}};
}

/// Whole numbers from -limit to limit, as float32.
at::Tensor whole_numbers(Draw& draw, at::IntArrayRef size, double limit) {
  return draw.uniform(size, -limit - 0.5, limit + 0.5).round().to(at::kFloat);
}

}  // namespace

TEST_CASE("a full product is LibTorch's own") {
  Draw draw(1);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor a = draw.normal({5, 7}).to(dtype), b = draw.normal({7, 3}).to(dtype);
    CHECK(same_bytes(matrix_product(a, b, Precision::kFull), at::mm(a, b)));
    const at::Tensor weight = b.t().contiguous();
    CHECK(same_bytes(projected(a, weight, Precision::kFull), at::mm(a, weight.t())));
  }
}

TEST_CASE("products of fewer bits are as wrong as their operands are rounded, and no more") {
  Draw draw(2);
  for (const auto& [precision, unit] : reduced_precisions()) {
    INFO(to_string(precision));
    for (const int64_t terms : {1, 16, 64, 1000}) {
      const at::Tensor a = draw.normal({20, terms}), b = draw.normal({terms, 30});
      const at::Tensor found = matrix_product(a.to(at::kFloat), b.to(at::kFloat), precision);
      CHECK(found.scalar_type() == at::kFloat);
      // Two operands and the result; each term errs by its own size at most.
      const at::Tensor bound = 3.1 * unit * at::mm(a.abs(), b.abs());
      const at::Tensor error = (found.to(at::kDouble) - at::mm(a, b)).abs();
      CHECK((error <= bound).all().item<bool>());
      CHECK(error.max().item<double>() > 0.01 * unit);  // it does round
    }
  }
}

TEST_CASE("operands that the fewer bits hold are multiplied exactly") {
  Draw draw(3);
  const at::Tensor a = whole_numbers(draw, {6, 20}, 1023), b = whole_numbers(draw, {20, 4}, 1023);
  CHECK(at::equal(matrix_product(a, b, Precision::kTf32), at::mm(a, b)));
  // The result has to fit as well: sums of at most 256.
  const at::Tensor c = whole_numbers(draw, {6, 4}, 8), d = whole_numbers(draw, {4, 5}, 8);
  CHECK(at::equal(matrix_product(c, d, Precision::kBf16), at::mm(c, d)));
}

TEST_CASE("a batch of products is one product after the other") {
  Draw draw(4);
  for (const Precision precision : {Precision::kFull, Precision::kTf32, Precision::kBf16}) {
    INFO(to_string(precision));
    const at::Tensor a = draw.normal({3, 9, 5}).to(at::kFloat).transpose(1, 2),
                     b = draw.normal({3, 9, 4}).to(at::kFloat);
    const at::Tensor found = matrix_product(a, b, precision);
    for (int64_t i = 0; i < 3; ++i)
      CHECK(relative_error(found[i], matrix_product(a[i], b[i], precision)) < 1e-2);
  }
}

TEST_CASE("the gradients of a projection are products of the same precision") {
  Draw draw(5);
  for (const Precision precision : {Precision::kFull, Precision::kTf32, Precision::kBf16}) {
    INFO(to_string(precision));
    const at::Tensor x = draw.normal({12, 8}).to(at::kFloat).set_requires_grad(true),
                     weight = draw.normal({6, 8}).to(at::kFloat).set_requires_grad(true),
                     upstream = draw.normal({12, 6}).to(at::kFloat);
    const auto found =
        gradients_of((projected(x, weight, precision) * upstream).sum(), {x, weight});
    const at::NoGradGuard no_grad;
    CHECK(relative_error(found[0], matrix_product(upstream, weight, precision)) < 1e-6);
    CHECK(relative_error(found[1], matrix_product(upstream.t(), x, precision)) < 1e-6);
  }
}
