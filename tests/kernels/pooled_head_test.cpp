// The network's end: against plain loops, and finite differences.
#include "kernels/pooled_head.h"

#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/loop_kernels.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct HeadCase {
  at::Tensor h, norm, weight, bias, upstream;

  HeadCase(int64_t batch, int64_t positions, int64_t d, int64_t classes, Draw& draw)
      : h(draw.normal({batch, positions, d})),
        norm(draw.uniform({d}, 0.5, 1.5)),
        weight(draw.normal({classes, d})),
        bias(draw.normal({classes})),
        upstream(draw.normal({batch, classes})) {}

  std::vector<at::Tensor> leaves(at::ScalarType dtype) const {
    std::vector<at::Tensor> result;
    for (const at::Tensor& value : {h, norm, weight, bias})
      result.push_back(value.to(dtype).clone().set_requires_grad(true));
    return result;
  }
};

at::Tensor head_of(const std::vector<at::Tensor>& in, Engine engine) {
  return pooled_head(in[0], in[1], in[2], in[3], engine);
}

}  // namespace

TEST_CASE("the network's end is the mean over an image's tokens of their logits") {
  Draw draw(1);
  for (const int64_t width : {1, 2, 7, 16, 31, 64, 100}) {
    const HeadCase c(19, 5, width, 10, draw);
    const at::Tensor tokens = loop_rms_norm(c.h.view({95, width}), c.norm);
    const at::Tensor expected = (at::mm(tokens, c.weight.t()) + c.bias).view({19, 5, 10}).mean(1);
    for (const Numerics& n : all_numerics()) {
      INFO("width " << width << ", " << n.name);
      const auto in = c.leaves(n.dtype);
      const at::Tensor found = head_of(in, n.engine);
      CHECK(found.scalar_type() == n.dtype);
      CHECK(relative_error(found, expected) < n.tolerance);
      const at::Tensor without = pooled_head(in[0], in[1], in[2], {}, n.engine);
      CHECK(relative_error(without + in[3], expected) < n.tolerance);
    }
  }
}

TEST_CASE("the gradients of the network's end agree with finite differences") {
  Draw draw(2);
  for (const int64_t width : {2, 7, 16, 19}) {
    const HeadCase c(3, 4, width, 5, draw);
    for (const Numerics& n : exact_numerics()) {
      INFO("width " << width << ", " << n.name);
      const auto in = c.leaves(at::kDouble);
      check_gradients([&] { return (head_of(in, n.engine) * c.upstream).sum(); },
                      {{"h", in[0]}, {"norm", in[1]}, {"weight", in[2]}, {"bias", in[3]}});
    }
  }
}

TEST_CASE("both engines differentiate the network's end alike in float32") {
  Draw draw(3);
  const HeadCase c(50, 7, 19, 10, draw);
  const auto gradients = [&](Engine engine, at::ScalarType dtype) {
    const auto in = c.leaves(dtype);
    return gradients_of((head_of(in, engine) * c.upstream.to(dtype)).sum(), in);
  };
  const auto exact = gradients(Engine::kReference, at::kDouble);
  const auto fused = gradients(Engine::kFused, at::kFloat);
  for (size_t i = 0; i < exact.size(); ++i) CHECK(relative_error(fused[i], exact[i]) < 2e-5);
}
