// Root-mean-square normalisation against plain loops.
#include "kernels/rms_norm.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("rms_norm divides every row by its root mean square and scales by the weight") {
  Draw draw(1);
  for (const int64_t width : {1, 2, 7, 8, 13, 16, 31, 64, 65, 150}) {
    const at::Tensor x = draw.normal({9, width}), weight = draw.normal({width});
    for (const Numerics& n : piece_numerics()) {
      INFO("width " << width << ", " << n.name);
      const at::Tensor found = rms_norm(x.to(n.dtype), weight.to(n.dtype), n.engine);
      CHECK(found.scalar_type() == n.dtype);
      CHECK(relative_error(found, loop_rms_norm(x, weight)) < n.tolerance);
    }
  }
}

TEST_CASE("rms_norm takes the mean over the last dimension only, whatever stands before it") {
  Draw draw(2);
  const at::Tensor x = draw.normal({3, 4, 5}), weight = draw.normal({5});
  const at::Tensor rows = loop_rms_norm(x.reshape({12, 5}), weight);
  for (const Numerics& n : exact_piece_numerics()) {
    INFO(n.name);
    CHECK(relative_error(rms_norm(x, weight, n.engine), rows.view({3, 4, 5})) < n.tolerance);
  }
}

TEST_CASE("rms_norm reads a transposed table by its meaning, not by its memory") {
  Draw draw(3);
  const at::Tensor x = draw.normal({5, 8}).t(), weight = draw.normal({5});
  for (const Numerics& n : exact_piece_numerics()) {
    INFO(n.name);
    CHECK(relative_error(rms_norm(x, weight, n.engine), loop_rms_norm(x, weight)) < n.tolerance);
  }
}

TEST_CASE("rms_norm adds 1e-6 inside the root, so that a row of zeros stays zero") {
  const at::Tensor zeros = at::zeros({1, 4}, at::kDouble), ones = at::ones({4}, at::kDouble);
  const at::Tensor tiny = at::full({1, 4}, 1e-3, at::kDouble);
  for (const Numerics& n : exact_piece_numerics()) {
    INFO(n.name);
    CHECK(at::equal(rms_norm(zeros, ones, n.engine), zeros));
    CHECK(rms_norm(tiny, ones, n.engine)[0][0].item<double>() ==
          Catch::Approx(1e-3 / std::sqrt(2e-6)));
  }
}

TEST_CASE("the gradient of rms_norm agrees with finite differences") {
  Draw draw(4);
  for (const int64_t width : {2, 7, 16, 19, 67}) {
    const at::Tensor x = leaf(draw.normal({4, width})), weight = leaf(draw.normal({width}));
    const at::Tensor upstream = draw.normal({4, width});
    for (const Numerics& n : exact_piece_numerics()) {
      INFO("width " << width << ", " << n.name);
      check_gradients([&] { return (rms_norm(x, weight, n.engine) * upstream).sum(); },
                      {{"x", x}, {"weight", weight}});
    }
  }
}

TEST_CASE(
    "the gradient of rms_norm is the formula's for more rows and columns than a block holds") {
  Draw draw(5);
  for (const auto& [rows, width] :
       {std::pair<int64_t, int64_t>{70, 64}, {32, 65}, {33, 150}, {100, 5}}) {
    const at::Tensor x = draw.normal({rows, width}), weight = draw.normal({width}),
                     upstream = draw.normal({rows, width}), beside = draw.normal({rows, width});
    const at::Tensor r = (x.square().mean(1, true) + kRmsNormEpsilon).rsqrt(),
                     ew = upstream * weight;
    const at::Tensor d_x = beside + r * (ew - x * r.square() * (ew * x).mean(1, true)),
                     d_weight = (upstream * x * r).sum(0);
    for (const Numerics& n : piece_numerics()) {
      INFO(rows << " rows of " << width << ", " << n.name);
      const at::Tensor x_in = leaf(x.to(n.dtype)), weight_in = leaf(weight.to(n.dtype));
      const NormedStream stream = norm_beside_residual(x_in, weight_in, n.engine);
      const auto found = gradients_of((stream.normed * upstream.to(n.dtype)).sum() +
                                          (stream.residual * beside.to(n.dtype)).sum(),
                                      {x_in, weight_in});
      CHECK(relative_error(found[0], d_x) < n.tolerance);
      CHECK(relative_error(found[1], d_weight) < n.tolerance);
    }
  }
}
