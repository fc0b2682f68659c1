// The optimiser's work on flat vectors: both engines do the same.
#include "kernels/flat_updates.h"

#include <cmath>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("flat_norm is the root of the sum of squares, for vectors of any length") {
  Draw draw(1);
  for (const int64_t length : {1, 17, 8192, 8193, 100003}) {
    const at::Tensor flat = draw.normal({length});
    const double expected = std::sqrt(flat.square().sum().item<double>());
    for (const Numerics& n : all_numerics()) {
      INFO(length << " numbers, " << n.name);
      const at::Tensor found = flat_norm(flat.to(n.dtype), n.engine);
      CHECK(found.dim() == 0);
      CHECK(found.scalar_type() == n.dtype);
      CHECK(found.item<double>() == Catch::Approx(expected).epsilon(n.tolerance));
    }
  }
}

TEST_CASE("clipping shrinks a vector to the norm asked for, and tells the norm it had") {
  const at::Tensor flat = Draw(3).normal({9001});
  const double norm = flat.norm().item<double>();
  for (const Numerics& n : all_numerics()) {
    // Shorter than the vector, longer than it, off.
    for (const double clip : {0.5, 2 * norm, 0.0}) {
      INFO("to " << clip << ", " << n.name);
      const at::Tensor clipped = flat.to(n.dtype).clone();
      const double before = clip_to_norm(clipped, clip, n.engine).item<double>();
      CHECK(before == Catch::Approx(norm).epsilon(n.tolerance));
      const double factor = clip == 0.5 ? 0.5 / (norm + 1e-6) : 1.0;
      CHECK(relative_error(clipped, flat * factor) < n.tolerance);
    }
  }
}

TEST_CASE("both engines update alike, step after step") {
  Draw draw(2);
  const AdamWRates start{0.03, 0.1, 0};
  const at::Tensor parameter = draw.normal({20011});
  std::vector<at::Tensor> gradients;
  for (int step = 0; step < 4; ++step) gradients.push_back(draw.normal({20011}));
  const auto run = [&](const Numerics& n) {
    at::Tensor p = parameter.to(n.dtype).clone(), m = at::zeros_like(p), v = at::zeros_like(p);
    AdamWRates rates = start;
    for (const at::Tensor& gradient : gradients) {
      ++rates.t;
      adamw_update(rates, gradient.to(n.dtype), p, m, v, n.engine);
    }
    return std::vector<at::Tensor>{p, m, v};
  };
  const auto expected = run(all_numerics()[0]);
  for (const Numerics& n : all_numerics()) {
    INFO(n.name);
    const auto found = run(n);
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(relative_error(found[i], expected[i]) < n.tolerance);
  }
}
