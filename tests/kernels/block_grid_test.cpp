// The emulation of a GPU's grid: what it would catch, and that it finds nothing in the kernels.
#include "kernels/block_grid.h"

#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "kernels/block_sum.h"
#include "kernels/causal_attention.h"
#include "kernels/cdsp_layer.h"
#include "kernels/clipped_adamw.h"
#include "kernels/expert_grouping.h"
#include "kernels/normalise_and_route.h"
#include "kernels/pooled_head.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/rotary_attention.h"
#include "kernels/standard_experts.h"
#include "model/topology.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/finite_differences.h"
#include "train/device_batch.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// Sums the block's numbers; `is_right` says whether a barrier stands where one must.
struct SumOfBlock {
  static constexpr int kThreads = 32;
  struct Shared {
    double part[kThreads];
  };
  using Registers = Nothing;

  const double* numbers;
  double* sums;
  bool is_right;

  int64_t blocks() const { return 3; }
  int phases(int64_t) const { return is_right ? 2 : 1; }
  void run(int phase, int64_t block, int thread, Shared& shared, Registers&) const {
    if (phase == 0) shared.part[thread] = numbers[block * kThreads + thread];
    const bool is_last_phase = phase == phases(block) - 1;
    if (thread != 0 || !is_last_phase) return;
    sums[block] = 0;
    for (const double part : shared.part) sums[block] += part;
  }
};

class DescendingOrder {
 public:
  DescendingOrder() { emulation_order() = EmulationOrder::kDescending; }
  ~DescendingOrder() { emulation_order() = EmulationOrder::kAscending; }
  DescendingOrder(const DescendingOrder&) = delete;
  DescendingOrder& operator=(const DescendingOrder&) = delete;
};

using Tensors = std::vector<at::Tensor>;

/// The answers of `work` with blocks and threads taken forwards, and that they are the same bytes
/// when taken backwards: no thread reads what another one writes without a barrier between them.
void check_order_does_not_matter(const std::function<Tensors()>& work) {
  const Tensors forwards = work();
  Tensors backwards;
  {
    const DescendingOrder order;
    backwards = work();
  }
  REQUIRE(forwards.size() == backwards.size());
  for (size_t i = 0; i < forwards.size(); ++i) {
    INFO("answer " << i);
    CHECK(at::isfinite(forwards[i].to(at::kDouble)).all().item<bool>());
    CHECK(same_bytes(forwards[i], backwards[i]));
  }
}

at::Tensor input(const at::Tensor& values) { return values.clone().set_requires_grad(true); }

}  // namespace

TEST_CASE("the emulation tells a program without its barrier from a right one") {
  Draw draw(1);
  const at::Tensor numbers = draw.normal({3, 32});
  const auto sums = [&](bool is_right) {
    at::Tensor result = at::zeros({3}, at::kDouble);
    emulate_grid(SumOfBlock{numbers.data_ptr<double>(), result.data_ptr<double>(), is_right});
    return result;
  };
  CHECK(relative_error(sums(true), numbers.sum(1)) < 1e-14);
  // Without the barrier the first thread finds shared memory that nobody has written: NaN.
  CHECK(at::isnan(sums(false)).all().item<bool>());
  const DescendingOrder order;
  CHECK(relative_error(sums(true), numbers.sum(1)) < 1e-14);
  CHECK(relative_error(sums(false), numbers.sum(1)) < 1e-14);
}

TEST_CASE(
    "a block's numbers are added up in groups, then over the groups, in the order of threads") {
  Draw draw(3);
  double values[48];
  for (double& value : values) value = draw.normal({1}).item<double>();
  double expected = 0.0;
  for (int group = 0; group < 48; group += kSumGroup) {
    double sum = values[group];
    for (int i = 1; i < kSumGroup; ++i) sum += values[group + i];
    expected += sum;
  }
  for (int thread = 47; thread >= 0; --thread) sum_groups(values, thread);
  CHECK(sum_of_groups(values) == expected);
}

TEST_CASE("no kernel's answer depends on the order of its blocks and threads") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kDouble);
  Draw draw(2);
  SECTION("RMSNorm") {
    const int64_t width = GENERATE(19, 64, 150);
    const at::Tensor x = draw.normal({75, width}).to(dtype), w = draw.normal({width}).to(dtype),
                     e = draw.normal({75, width}).to(dtype);
    check_order_does_not_matter([&]() -> Tensors {
      const at::Tensor a = input(x), b = input(w), y = rms_norm(a, b, Engine::kEmulated);
      const auto g = gradients_of((y * e).sum(), {a, b});
      return {y.detach(), g[0], g[1]};
    });
  }
  SECTION("attention over one tile and over several") {
    const auto [positions, width] =
        GENERATE(std::pair<int64_t, int64_t>{150, 6}, std::pair<int64_t, int64_t>{70, 34},
                 std::pair<int64_t, int64_t>{49, 16}, std::pair<int64_t, int64_t>{20, 12},
                 std::pair<int64_t, int64_t>{40, 128});
    const at::Tensor qkv = draw.normal({2, positions, 8 * width}).to(dtype),
                     e = draw.normal({2, positions, 4 * width}).to(dtype);
    check_order_does_not_matter([&, positions = positions, width = width]() -> Tensors {
      const at::Tensor a = input(qkv);
      const at::Tensor y = rotary_attention(a, 4, 2, rotary_turns(positions, width, qkv),
                                            causal_mask(positions, at::kCPU), Engine::kEmulated);
      return {y.detach(), gradients_of((y * e).sum(), {a})[0]};
    });
  }
  SECTION("norm and router") {
    const auto [d, experts, width] =
        GENERATE(std::array<int64_t, 3>{7, 5, 3}, std::array<int64_t, 3>{90, 70, 3},
                 std::array<int64_t, 3>{64, 8, 16}, std::array<int64_t, 3>{64, 8, 6});
    const at::Tensor h = draw.normal({3, 19, d}).to(dtype), norm = draw.normal({d}).to(dtype),
                     weight = draw.normal({experts, d + width}).to(dtype),
                     bias = draw.normal({experts}).to(dtype),
                     embedding = draw.normal({2, width}).to(dtype),
                     e = draw.normal({57, experts}).to(dtype),
                     told = at::eye(3, dtype).narrow(1, 0, 2).contiguous();
    const RouterNorm kind = GENERATE(RouterNorm::kToken, RouterNorm::kSequence);
    check_order_does_not_matter([&]() -> Tensors {
      const Tensors in = {input(h), input(norm), input(weight), input(bias), input(embedding)};
      const RoutedTokens tokens = normalise_and_route(in[0], in[1], {in[2], in[3], in[4]}, told,
                                                      {2, kind, true}, Engine::kEmulated);
      const Routing& routing = tokens.routing;
      Tensors answers =
          gradients_of(((routing.weights + routing.probabilities) * e).sum() + tokens.x.sum(), in);
      answers.insert(answers.end(), {tokens.x.detach(), routing.indices, routing.weights.detach(),
                                     routing.probabilities.detach(), routing.counts});
      return answers;
    });
  }
  SECTION("the network's end") {
    const auto [positions, width, classes] =
        GENERATE(std::array<int64_t, 3>{5, 7, 3}, std::array<int64_t, 3>{150, 64, 10},
                 std::array<int64_t, 3>{520, 9, 5}, std::array<int64_t, 3>{3, 530, 270});
    const at::Tensor h = draw.normal({3, positions, width}).to(dtype),
                     norm = draw.normal({width}).to(dtype),
                     weight = draw.normal({classes, width}).to(dtype),
                     bias = draw.normal({classes}).to(dtype),
                     e = draw.normal({3, classes}).to(dtype);
    check_order_does_not_matter([&]() -> Tensors {
      const Tensors in = {input(h), input(norm), input(weight), input(bias)};
      const at::Tensor y = pooled_head(in[0], in[1], in[2], in[3], Engine::kEmulated);
      Tensors answers = gradients_of((y * e).sum(), in);
      answers.push_back(y.detach());
      return answers;
    });
  }
  SECTION("a topology") {
    const at::Tensor alpha = draw.normal({9, 9}).to(dtype), e = draw.normal({9}).to(dtype);
    check_order_does_not_matter([&]() -> Tensors {
      const at::Tensor a = input(alpha);
      const Topology topology = select_topology(a, 40, 17, Engine::kEmulated);
      return {topology.mask, topology.gate.detach(),
              gradients_of((topology.gate * e).sum(), {a})[0],
              topology_numbers_cuda(alpha.view({-1}), at::zeros({1}, at::kLong), 81)};
    });
  }
  SECTION("the CDSP layer") {
    const auto [d, columns] =  // wide rows and others, several stretches, more than one program
        GENERATE(std::pair<int64_t, int64_t>{7, 22}, std::pair<int64_t, int64_t>{64, 300},
                 std::pair<int64_t, int64_t>{66, 22});
    const at::Tensor x = draw.normal({90, d}).to(dtype), u = draw.normal({d, columns}).to(dtype),
                     v = draw.normal({columns, d}).to(dtype),
                     gate = draw.uniform({5}, 0.1, 1).to(dtype),
                     logits = draw.normal({90, 5}).to(dtype), e = draw.normal({90, d}).to(dtype);
    const at::Tensor mask = mask_of(draw.subsets(5, columns, 9), columns).to(dtype);
    const int64_t k = GENERATE(1, 2, 4, 5);
    check_order_does_not_matter([&]() -> Tensors {
      const Tensors leaves = {input(x), input(logits), input(u), input(v), input(gate), input(e)};
      const auto by_expert = std::make_shared<ExpertGradients>();
      const Routing routing = route_top_k(leaves[1], k, false);
      const at::Tensor y = cdsp_layer(leaves[0], routing, leaves[2], leaves[3], leaves[4], mask,
                                      by_expert, Engine::kEmulated, leaves[5]);
      Tensors answers = gradients_of((y * e).sum(), leaves);
      answers.insert(answers.end(), {y.detach(), routing.indices, routing.weights.detach(),
                                     by_expert->u, by_expert->v});
      return answers;
    });
  }
  SECTION("the standard experts") {
    const at::Tensor x = draw.normal({90, 7}).to(dtype), logits = draw.normal({90, 5}).to(dtype),
                     w1 = draw.normal({5, 6, 7}).to(dtype), b1 = draw.normal({5, 6}).to(dtype),
                     w2 = draw.normal({5, 7, 6}).to(dtype), b2 = draw.normal({5, 7}).to(dtype),
                     e = draw.normal({90, 7}).to(dtype);
    check_order_does_not_matter([&]() -> Tensors {
      const Tensors leaves = {input(x), input(logits), input(w1), input(b1), input(w2), input(b2)};
      const Routing routing = route_top_k(leaves[1], 2, false);
      const at::Tensor y = standard_experts(leaves[0], routing, leaves[2], leaves[3], leaves[4],
                                            leaves[5], Engine::kEmulated);
      Tensors answers = gradients_of((y * e).sum(), leaves);
      answers.push_back(y.detach());
      return answers;
    });
  }
  SECTION("a batch and its task dropout") {
    const DeviceSplit split = {draw.bytes({40, 13, 11}), at::arange(40).remainder(7),
                               at::arange(40).remainder(3)};
    const at::Tensor order = draw.choices(1, 40, 40)[0],
                     counters = at::tensor({5, 17, 0}, at::kLong);
    RouterConfig config;
    config.task_dropout = 0.5;
    check_order_does_not_matter([&]() -> Tensors {
      const DeviceBatch made = make_device_batch(split, order, counters, 20, 3, dtype, config, 99);
      return {made.batch.images, made.batch.labels, made.batch.tasks, made.tasks, made.told};
    });
  }
  SECTION("clipping and AdamW") {
    const at::Tensor value = draw.normal({3000}).to(dtype), g = draw.normal({3000}).to(dtype);
    check_order_does_not_matter([&]() -> Tensors {
      const auto zeros = [](at::IntArrayRef size, at::ScalarType type) {
        return at::zeros(size, type);
      };
      const FlatAdamWState state{value.clone(),
                                 zeros({3000}, dtype),
                                 zeros({3000}, dtype),
                                 at::arange(3000).div(1000, "floor").to(at::kInt),
                                 zeros({3}, at::kLong),
                                 at::full({3}, 0.01, at::kDouble),
                                 at::full({3}, 0.1, at::kDouble),
                                 zeros({1}, at::kInt)};
      const at::Tensor norm = zeros({1}, dtype);
      for (int step = 0; step < 2; ++step) {
        clipped_adamw_step(state, g, at::ones({3}, at::kByte), zeros({}, dtype), 1.0, norm);
      }
      return {state.value, state.first_moment, state.second_moment, state.updates, norm};
    });
  }
}
