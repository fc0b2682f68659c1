// Patches to tokens: the fused kernel against the reference, and finite differences.
#include "kernels/patch_embedding.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct EmbeddingShape {
  int64_t batch, rows, cols, patch_size, d;
};

}  // namespace

TEST_CASE("both engines embed patches alike, and differentiate alike") {
  Draw draw(1);
  for (const EmbeddingShape& s : {EmbeddingShape{17, 28, 28, 4, 64}, EmbeddingShape{3, 6, 9, 3, 5},
                                  EmbeddingShape{1, 4, 4, 4, 20}, EmbeddingShape{2, 5, 7, 1, 3}}) {
    const at::Tensor images = draw.bytes({s.batch, s.rows, s.cols});
    const at::Tensor weight = draw.normal({s.d, s.patch_size * s.patch_size});
    const at::Tensor bias = draw.normal({s.d});
    const int64_t positions = (s.rows / s.patch_size) * (s.cols / s.patch_size);
    const at::Tensor upstream = draw.normal({s.batch, positions, s.d});
    const at::Tensor patches = patches_of(images, s.patch_size, at::kDouble);
    const at::Tensor expected = at::matmul(patches, weight.t()) + bias;
    const at::Tensor d_weight =
        at::mm(upstream.view({-1, s.d}).t(), patches.view({s.batch * positions, -1}));
    CHECK(same_bytes(patches_cuda(images, s.patch_size, at::kDouble), patches));
    CHECK(same_bytes(patches_cuda(images, s.patch_size, at::kFloat),
                     patches_of(images, s.patch_size, at::kFloat)));
    for (const Numerics& n : all_numerics()) {
      INFO(s.rows << " x " << s.cols << " pixels, patch " << s.patch_size << ", " << n.name);
      const at::Tensor w = weight.to(n.dtype).clone().set_requires_grad(true);
      const at::Tensor b = bias.to(n.dtype).clone().set_requires_grad(true);
      const at::Tensor h = embed_patches(images, s.patch_size, w, b, n.engine);
      CHECK(h.scalar_type() == n.dtype);
      CHECK(relative_error(h, expected) < n.tolerance);
      const auto found = gradients_of((h * upstream.to(n.dtype)).sum(), {w, b});
      CHECK(relative_error(found[0], d_weight) < n.tolerance);
      CHECK(relative_error(found[1], upstream.view({-1, s.d}).sum(0)) < n.tolerance);
    }
  }
}

TEST_CASE("the gradients of the patch embedding agree with finite differences") {
  const Numerics n = GENERATE(from_range(exact_numerics()));
  INFO(n.name);
  Draw draw(2);
  const at::Tensor images = draw.bytes({3, 4, 6}), upstream = draw.normal({3, 6, 5});
  const at::Tensor weight = leaf(draw.normal({5, 4})), bias = leaf(draw.normal({5}));
  check_gradients(
      [&] { return (embed_patches(images, 2, weight, bias, n.engine) * upstream).sum(); },
      {{"weight", weight}, {"bias", bias}});
}
