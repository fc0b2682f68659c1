// Sums over the tokens of each expert, by chunks of grouped tokens.
#include "kernels/expert_grouping.h"

#include <vector>

#include <ATen/ATen.h>

#include "kernels/top_k_routing.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

struct GroupingShape {
  int64_t tokens, experts, k, left, right;
};

std::vector<GroupingShape> grouping_shapes(Draw& draw) {
  std::vector<GroupingShape> shapes = {{1, 4, 1, 3, 5},      // one token
                                       {1, 4, 4, 3, 5},      // one token, every expert
                                       {6, 40, 2, 3, 4},     // most experts idle
                                       {33, 1, 1, 4, 2},     // one expert
                                       {50, 3, 3, 2, 6},     // k = N
                                       {700, 2, 1, 3, 3},    // chunks of many rows
                                       {1500, 3, 2, 2, 1},   // the largest chunk
                                       {90, 300, 7, 2, 2}};  // more experts than a block's threads
  for (int i = 0; i < 10; ++i) {
    const int64_t experts = draw.between(1, 12);
    shapes.push_back({draw.between(1, 120), experts, draw.between(1, experts), draw.between(1, 9),
                      draw.between(1, 9)});
  }
  return shapes;
}

/// sum over the tokens t that chose expert i of weight_ti * left_t (outer) right_t.
at::Tensor loop_outer_sums(const at::Tensor& choices, const at::Tensor& weights,
                           const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor sums = at::zeros({weights.size(1), left.size(1), right.size(1)}, at::kDouble);
  const auto chosen = choices.accessor<int64_t, 2>();
  for (int64_t token = 0; token < choices.size(0); ++token) {
    for (int64_t slot = 0; slot < choices.size(1); ++slot) {
      const int64_t expert = chosen[token][slot];
      sums[expert] += at::outer(left[token], right[token]) * weights[token][expert];
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("weighted_outer_sums equals a loop over tokens and their experts") {
  Draw draw(1);
  for (const GroupingShape& s : grouping_shapes(draw)) {
    const at::Tensor choices = draw.choices(s.tokens, s.experts, s.k);
    const at::Tensor weights = draw.weights_on(choices, s.experts);
    const at::Tensor left = draw.normal({s.tokens, s.left}),
                     right = draw.normal({s.tokens, s.right});
    const at::Tensor expected = loop_outer_sums(choices, weights, left, right);
    INFO(s.tokens << " tokens, " << s.k << " of " << s.experts << " experts");
    const auto sums = [&](at::ScalarType dtype) {
      const ExpertGrouping grouping = group_by_expert(choices, weights.to(dtype));
      return weighted_outer_sums(grouping, left.to(dtype), right.to(dtype));
    };
    CHECK(relative_error(sums(at::kDouble), expected) < 1e-12);
    CHECK(relative_error(sums(at::kFloat), expected) < 2e-5);
  }
}

TEST_CASE("the CUDA kernels' source groups tokens as the reference does, to the byte") {
  Draw draw(3);
  for (const GroupingShape& s : grouping_shapes(draw)) {
    INFO(s.tokens << " tokens, " << s.k << " of " << s.experts << " experts");
    const at::Tensor choices = draw.choices(s.tokens, s.experts, s.k);
    const at::Tensor weights = draw.weights_on(choices, s.experts);
    const at::Tensor counts = count_by_expert_cuda(choices, weights);
    CHECK(at::equal(counts, selection_counts({choices, weights, {}, {}})));
    const ExpertRows found = group_by_expert_cuda(choices, weights, counts);
    const ExpertGrouping expected = group_by_expert(choices, weights);
    CHECK(found.chunk == expected.chunk);
    CHECK(at::equal(found.token.to(at::kLong), expected.token));
    CHECK(at::equal(found.weight, expected.weight.squeeze(1)));
    const at::Tensor experts = at::arange(s.experts, at::kInt).unsqueeze(1);
    CHECK(at::equal(found.owner.eq(experts).to(at::kDouble), expected.ownership));
    const at::Tensor chunk = at::arange(found.chunks, at::kInt);
    const at::Tensor begin = found.first_chunk.narrow(0, 0, s.experts).unsqueeze(1),
                     end = found.first_chunk.narrow(0, 1, s.experts).unsqueeze(1);
    CHECK(
        at::equal(chunk.ge(begin).logical_and(chunk.lt(end)).to(at::kDouble), expected.ownership));
  }
}

TEST_CASE("an expert that nobody selects sums to exactly zero") {
  Draw draw(2);
  const at::Tensor choices = draw.choices(20, 3, 2);  // experts 3 and 4 stay idle
  const at::Tensor weights = draw.weights_on(choices, 5);
  const at::Tensor sums = weighted_outer_sums(group_by_expert(choices, weights),
                                              draw.normal({20, 3}), draw.normal({20, 4}));
  CHECK(at::equal(sums.narrow(0, 3, 2), at::zeros({2, 3, 4}, at::kDouble)));
  CHECK(sums.narrow(0, 0, 3).ne(0).all().item<bool>());
}

TEST_CASE("the inputs of the sums stay as they are") {
  Draw draw(3);
  const at::Tensor choices = draw.choices(9, 4, 2), weights = draw.weights_on(choices, 4);
  const at::Tensor left = draw.normal({9, 2}), right = draw.normal({9, 5});
  const at::Tensor left_before = left.clone(), right_before = right.clone();
  const at::Tensor sums = weighted_outer_sums(group_by_expert(choices, weights), left, right);
  CHECK(relative_error(sums, loop_outer_sums(choices, weights, left_before, right_before)) < 1e-12);
  CHECK(at::equal(left, left_before));
  CHECK(at::equal(right, right_before));
}

TEST_CASE("the shapes of a grouping do not depend on who was selected") {
  Draw draw(4);
  const at::Tensor to_one = at::zeros({64, 1}, at::kLong);
  const at::Tensor spread = at::arange(64, at::kLong).remainder(8).unsqueeze(1);
  const ExpertGrouping a = group_by_expert(to_one, draw.weights_on(to_one, 8));
  const ExpertGrouping b = group_by_expert(spread, draw.weights_on(spread, 8));
  CHECK(a.chunk == b.chunk);
  CHECK(a.token.sizes() == b.token.sizes());
  CHECK(a.ownership.sizes() == b.ownership.sizes());
}

TEST_CASE("every pair of token and expert has one row, and padding weighs nothing") {
  Draw draw(5);
  for (const GroupingShape& s : grouping_shapes(draw)) {
    const at::Tensor choices = draw.choices(s.tokens, s.experts, s.k);
    const at::Tensor weights = draw.weights_on(choices, s.experts);
    const ExpertGrouping grouping = group_by_expert(choices, weights);
    INFO(s.tokens << " tokens, " << s.k << " of " << s.experts << " experts");
    CHECK(grouping.weight.gt(0).sum().item<int64_t>() == s.tokens * s.k);
    // No chunk has two owners, and each row's weight is that of its token for the chunk's owner.
    CHECK(grouping.ownership.sum(0).max().item<double>() <= 1.0);
    const at::Tensor owner = grouping.ownership.argmax(0).repeat_interleave(grouping.chunk);
    const at::Tensor expected = weights.index({grouping.token, owner});
    const at::Tensor used = grouping.weight.squeeze(1).gt(0);
    CHECK(at::equal(grouping.weight.squeeze(1).masked_select(used), expected.masked_select(used)));
  }
}

TEST_CASE("more tokens than float32 can count are refused, not miscounted") {
  const at::Tensor choices = at::zeros({1, 1}, at::kLong).expand({(int64_t{1} << 24) + 1, 1});
  CHECK_THROWS_WITH(count_by_expert_cuda(choices, at::zeros({1, 1}, at::kFloat)),
                    Catch::Matchers::ContainsSubstring("2^24"));
}
