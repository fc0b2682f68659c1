// Inner products between experts' gradients: both engines against plain sums.
#include "kernels/expert_gramian.h"

#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/numerics.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("the Gramian of experts' gradients, and their norms a physical dimension") {
  Draw draw(1);
  for (const auto& sizes :
       {std::vector<int64_t>{8, 64, 256}, {12, 50, 90}, {1, 3, 5}, {5, 1, 7}, {3, 9, 1}}) {
    const at::Tensor gradient = draw.normal(sizes);
    gradient[0].narrow(0, 0, 1).zero_();
    at::Tensor dot = at::zeros({sizes[0], sizes[0]}, at::kDouble);
    for (int64_t i = 0; i < sizes[0]; ++i) {
      for (int64_t j = 0; j < sizes[0]; ++j) dot[i][j] = (gradient[i] * gradient[j]).sum();
    }
    for (const int64_t dimension : {1, 2}) {
      for (const Numerics& n : all_numerics()) {
        INFO(sizes[0] << " experts, dimension " << dimension << ", " << n.name);
        const ExpertGramian found = expert_gramian(gradient.to(n.dtype), dimension, n.engine);
        CHECK(relative_error(found.dot, dot) < n.tolerance);
        CHECK(relative_error(found.column_norm2, gradient.square().sum(dimension == 1 ? 2 : 1)) <
              n.tolerance);
      }
    }
  }
}

TEST_CASE("the norms of experts' gradients on each other's dimensions") {
  Draw draw(2);
  for (const auto& [experts, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{8, 256}, {1, 5}, {5, 7}, {64, 2048}}) {
    const at::Tensor norm2 = draw.uniform({experts, columns}, 0.0, 2.0);
    const at::Tensor mask = draw.uniform({experts, columns}, 0.0, 1.0).gt(0.6).to(at::kDouble);
    mask[0].zero_();
    const at::Tensor expected = (norm2.unsqueeze(1) * mask.unsqueeze(0)).sum(2);
    for (const Numerics& n : all_numerics()) {
      INFO(experts << " experts, " << columns << " columns, " << n.name);
      const at::Tensor found = norms_on_selections(norm2.to(n.dtype), mask.to(n.dtype), n.engine);
      CHECK(relative_error(found, expected) < n.tolerance);
    }
  }
}
