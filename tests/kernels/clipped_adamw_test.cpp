// Clipping and AdamW over flat buffers against loops over single numbers.
#include "kernels/clipped_adamw.h"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct FlatCase {
  std::vector<int64_t> sizes = {700, 1, 4000, 30};
  std::vector<double> rates = {0.03, 0.03, 0.03, 0.2}, decays = {0.1, 0.1, 0.1, 0.0};
  FlatAdamWState state;
  at::ScalarType dtype;

  FlatCase(Draw& draw, at::ScalarType type) : dtype(type) {
    std::vector<at::Tensor> owner;
    for (size_t p = 0; p < sizes.size(); ++p) {
      owner.push_back(at::full({sizes[p]}, static_cast<int64_t>(p), at::kInt));
    }
    state.owner = at::cat(owner);
    state.value = draw.normal({state.owner.numel()}).to(dtype);
    state.first_moment = at::zeros_like(state.value);
    state.second_moment = at::zeros_like(state.value);
    state.updates = at::zeros({4}, at::kLong);
    state.rate = at::tensor(rates, at::kDouble);
    state.decay = at::tensor(decays, at::kDouble);
    state.spoilt = at::zeros({1}, at::kInt);
  }

  double step(const at::Tensor& gradient, const std::vector<int64_t>& reached, double loss,
              double clip) const {
    const at::Tensor norm = at::zeros({1}, dtype);
    clipped_adamw_step(state, gradient.to(dtype), at::tensor(reached, at::kLong).to(at::kByte),
                       at::full({}, loss, dtype), clip, norm);
    return norm.to(at::kDouble).item<double>();
  }
};

/// The same, number by number, in float64.
struct LoopCase {
  at::Tensor value, first, second;
  std::vector<int> updates = {0, 0, 0, 0};

  explicit LoopCase(const FlatCase& c)
      : value(c.state.value.to(at::kDouble).clone()),
        first(at::zeros_like(value)),
        second(at::zeros_like(value)) {}

  void step(const FlatCase& c, const at::Tensor& gradient, const std::vector<int64_t>& reached,
            double clip) {
    const double norm = gradient.norm().item<double>();
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
    int64_t at = 0;
    for (size_t p = 0; p < c.sizes.size(); ++p) {
      if (reached[p] != 0) ++updates[p];
      for (int64_t i = 0; i < c.sizes[p]; ++i, ++at) {
        if (reached[p] == 0) continue;
        double &w = value.data_ptr<double>()[at], &m = first.data_ptr<double>()[at],
               &v = second.data_ptr<double>()[at];
        const double g = gradient.data_ptr<double>()[at] * factor;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        w -= c.rates[p] * c.decays[p] * w;
        w -= c.rates[p] * (m / (1.0 - std::pow(0.9, updates[p]))) /
             (std::sqrt(v / (1.0 - std::pow(0.999, updates[p]))) + 1e-8);
      }
    }
  }
};

}  // namespace

TEST_CASE("the flat update clips by the norm of all and counts each parameter by itself") {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    for (const double clip : {0.0, 1.0, 1e6}) {
      INFO(at::toString(dtype) << ", clip " << clip);
      Draw draw(1);
      const FlatCase c(draw, dtype);
      LoopCase loop(c);
      for (const std::vector<int64_t>& reached : std::vector<std::vector<int64_t>>{
               {1, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 0}, {1, 1, 1, 1}}) {
        const at::Tensor gradient = draw.normal({c.state.value.numel()});
        const double norm = c.step(gradient, reached, 0.5, clip);
        loop.step(c, gradient, reached, clip);
        const double tolerance = dtype == at::kDouble ? 1e-13 : 2e-6;
        CHECK(norm == Catch::Approx(gradient.norm().item<double>()).epsilon(1e-6));
        CHECK(relative_error(c.state.value, loop.value) < tolerance);
        CHECK(relative_error(c.state.first_moment, loop.first) < tolerance);
        CHECK(relative_error(c.state.second_moment, loop.second) < tolerance);
      }
      CHECK(at::equal(c.state.updates, at::tensor({4, 3, 3, 3}, at::kLong)));
    }
  }
}

TEST_CASE("nothing moves at a step that is not finite, nor after it") {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(),
                   kInfinity = std::numeric_limits<double>::infinity();
  Draw draw(2);
  for (const bool bad_loss : {true, false}) {
    for (const double bad : {kNaN, kInfinity}) {
      INFO(bad << (bad_loss ? " loss" : " gradient"));
      const FlatCase c(draw, at::kDouble);
      const at::Tensor good = draw.normal({c.state.value.numel()});
      c.step(good, {1, 1, 1, 1}, 0.5, 1.0);
      const at::Tensor before = c.state.value.clone(), moment = c.state.first_moment.clone();
      at::Tensor gradient = good.clone();
      if (!bad_loss) gradient[17] = bad;
      c.step(gradient, {1, 1, 1, 1}, bad_loss ? bad : 0.5, 1.0);
      c.step(good, {1, 1, 1, 1}, 0.5, 1.0);
      CHECK(same_bytes(c.state.value, before));
      CHECK(same_bytes(c.state.first_moment, moment));
      CHECK(at::equal(c.state.updates, at::full({4}, 1, at::kLong)));
      CHECK(c.state.spoilt.item<int>() == 1);
    }
  }
}
