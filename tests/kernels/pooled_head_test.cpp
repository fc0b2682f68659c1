// The network's end: against plain loops, and finite differences.
#include "kernels/pooled_head.h"

#include <array>
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

/// Batch, positions, width, classes.
using Sizes = std::array<int64_t, 4>;

/// More of each than a block of the CUDA kernels takes at once, and than its shared memory keeps.
const std::vector<Sizes> kBeyondABlock = {
    {2, 70, 64, 10}, {2, 530, 3, 2}, {2, 3, 530, 40}, {3, 2, 5, 300}, {70, 1, 6, 260}};

at::Tensor head_of(const std::vector<at::Tensor>& in, Engine engine) {
  return pooled_head(in[0], in[1], in[2], in[3], engine);
}

}  // namespace

TEST_CASE("the network's end is the mean over an image's tokens of their logits") {
  Draw draw(1);
  std::vector<Sizes> all_sizes = kBeyondABlock;
  for (const int64_t width : {1, 2, 7, 16, 31, 64, 100}) all_sizes.push_back({19, 5, width, 10});
  for (const auto& [batch, positions, width, classes] : all_sizes) {
    const HeadCase c(batch, positions, width, classes, draw);
    const at::Tensor tokens = loop_rms_norm(c.h.view({batch * positions, width}), c.norm);
    const at::Tensor expected =
        (at::mm(tokens, c.weight.t()) + c.bias).view({batch, positions, classes}).mean(1);
    for (const Numerics& n : all_numerics()) {
      INFO(positions << " positions, width " << width << ", " << classes << " classes, " << n.name);
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
  std::vector<Sizes> all_sizes = kBeyondABlock;
  for (const int64_t width : {2, 7, 16, 19}) all_sizes.push_back({3, 4, width, 5});
  for (const auto& [batch, positions, width, classes] : all_sizes) {
    const HeadCase c(batch, positions, width, classes, draw);
    for (const Numerics& n : exact_numerics()) {
      INFO(positions << " positions, width " << width << ", " << classes << " classes, " << n.name);
      const auto in = c.leaves(at::kDouble);
      check_gradients([&] { return (head_of(in, n.engine) * c.upstream).sum(); },
                      {{"h", in[0]}, {"norm", in[1]}, {"weight", in[2]}, {"bias", in[3]}});
    }
  }
}

TEST_CASE("without a bias the network's end has the other gradients that it has with one") {
  Draw draw(4);
  // One gradient more or less is another number of columns: odd and even.
  for (const int64_t width : {6, 7}) {
    const HeadCase c(5, 3, width, 4, draw);
    for (const Numerics& n : exact_numerics()) {
      INFO("width " << width << ", " << n.name);
      const auto in = c.leaves(at::kDouble);
      const std::vector<at::Tensor> inputs(in.begin(), in.begin() + 3);
      const auto with = gradients_of((head_of(in, n.engine) * c.upstream).sum(), inputs);
      const auto without =
          gradients_of((pooled_head(in[0], in[1], in[2], {}, n.engine) * c.upstream).sum(), inputs);
      for (size_t i = 0; i < with.size(); ++i)
        CHECK(relative_error(without[i], with[i]) < n.tolerance);
    }
  }
}

TEST_CASE("the network's end of a batch of none moves nothing") {
  Draw draw(5);
  const HeadCase c(0, 3, 6, 4, draw);
  for (const Numerics& n : exact_piece_numerics()) {
    INFO(n.name);
    const auto in = c.leaves(at::kDouble);
    const at::Tensor logits = head_of(in, n.engine);
    CHECK(logits.sizes() == at::IntArrayRef({0, 4}));
    const auto gradients = gradients_of(logits.sum(), in);
    for (size_t i = 1; i < in.size(); ++i) CHECK(same_bytes(gradients[i], at::zeros_like(in[i])));
  }
}

TEST_CASE("all engines differentiate the network's end alike in float32") {
  Draw draw(3);
  const HeadCase c(50, 7, 19, 10, draw);
  const auto gradients = [&](Engine engine, at::ScalarType dtype) {
    const auto in = c.leaves(dtype);
    return gradients_of((head_of(in, engine) * c.upstream.to(dtype)).sum(), in);
  };
  const auto exact = gradients(Engine::kReference, at::kDouble);
  for (const Engine engine : {Engine::kFused, Engine::kEmulated}) {
    INFO(name_of(engine));
    const auto found = gradients(engine, at::kFloat);
    for (size_t i = 0; i < exact.size(); ++i) CHECK(relative_error(found[i], exact[i]) < 2e-5);
  }
}
