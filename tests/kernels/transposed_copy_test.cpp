// Weights turned over in memory.
#include "kernels/transposed_copy.h"

#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("every matrix of a tensor is turned over") {
  Draw draw(1);
  const std::vector<std::vector<int64_t>> shapes = {{64, 128}, {5, 3},      {1, 7},
                                                    {7, 1},    {8, 32, 64}, {2, 3, 5, 18}};
  for (const std::vector<int64_t>& shape : shapes) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const at::Tensor matrices = draw.normal(shape).to(dtype);
      const at::Tensor turned = transposed_copy(matrices);
      CHECK(turned.is_contiguous());
      CHECK(same_bytes(turned, matrices.transpose(-2, -1).contiguous()));
    }
  }
}

TEST_CASE("what lies in memory the other way round is refused, not misread") {
  const at::Tensor matrix = at::zeros({3, 4}, at::kDouble);
  CHECK_THROWS_WITH(transposed_copy(matrix.t()),
                    Catch::Matchers::ContainsSubstring("not contiguous"));
}
