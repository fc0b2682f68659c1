// The kernels on a GPU against their own source run by the host. Skipped where no GPU is.
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "conflict/lagged_signal.h"
#include "kernels/causal_attention.h"
#include "kernels/cdsp_layer.h"
#include "kernels/clipped_adamw.h"
#include "kernels/expert_grouping.h"
#include "kernels/matrix_product.h"
#include "kernels/normalise_and_route.h"
#include "kernels/patch_embedding.h"
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
#include "support/gpu.h"
#include "train/device_batch.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

using Tensors = std::vector<at::Tensor>;

struct Place {
  at::Device device;
  Engine engine;
  at::ScalarType dtype;

  at::Tensor value(const at::Tensor& values) const { return values.to(device, dtype); }
  at::Tensor input(const at::Tensor& values) const {
    return value(values).clone().set_requires_grad(true);
  }
};

/// `work` on the GPU and emulated; float64 to 1e-12, float32 to 2e-5, and the same bytes twice.
void check_on_gpu(const std::function<Tensors(const Place&)>& work) {
  const at::Device gpu(at::kCUDA, 0);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    INFO(at::toString(dtype));
    const Tensors expected = work({at::kCPU, Engine::kEmulated, dtype});
    const Tensors found = work({gpu, Engine::kFused, dtype});
    const Tensors again = work({gpu, Engine::kFused, dtype});
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      INFO("answer " << i);
      const at::Tensor on_host = found[i].to(at::kCPU);
      CHECK(relative_error(on_host.to(at::kDouble), expected[i].to(at::kDouble)) <
            (dtype == at::kDouble ? 1e-12 : 2e-5));
      CHECK(same_bytes(on_host, again[i].to(at::kCPU)));
    }
  }
}

Tensors with_gradients(const at::Tensor& y, const at::Tensor& upstream, const Tensors& inputs) {
  Tensors answers = gradients_of((y * upstream).sum(), inputs);
  answers.push_back(y.detach());
  return answers;
}

}  // namespace

TEST_CASE("on a GPU RMSNorm and attention give what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(1);
  const at::Tensor x = draw.normal({300, 64}), w = draw.normal({64}), e = draw.normal({300, 64});
  check_on_gpu([&](const Place& p) {
    const Tensors in = {p.input(x), p.input(w)};
    return with_gradients(rms_norm(in[0], in[1], p.engine), p.value(e), in);
  });
  for (const int64_t positions : {1, 49, 130}) {
    for (const int64_t width : {6, 16, 32, 40, 128}) {
      const at::Tensor qkv = draw.normal({3, positions, 8 * width}),
                       up = draw.normal({3, positions, 4 * width});
      check_on_gpu([&](const Place& p) {
        const Tensors in = {p.input(qkv)};
        return with_gradients(rotary_attention(in[0], 4, 2, rotary_turns(positions, width, in[0]),
                                               causal_mask(positions, p.device), p.engine),
                              p.value(up), in);
      });
    }
  }
}

TEST_CASE("on a GPU the router and the experts give what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(2);
  for (const auto& [d, columns, k] :
       {std::array<int64_t, 3>{16, 40, 1}, {64, 256, 2}, {63, 301, 4}, {16, 40, 8}, {80, 40, 2}}) {
    INFO("d " << d << ", " << columns << " columns, " << k << " experts a token");
    const at::Tensor x = draw.normal({700, d}), logits = draw.normal({700, 8}),
                     e = draw.normal({700, d}), gate = draw.uniform({8}, 0.1, 1.0),
                     u = draw.normal({d, columns}), v = draw.normal({columns, d}),
                     residual = draw.normal({700, d});
    const at::Tensor mask = mask_of(draw.subsets(8, columns, 14), columns);
    check_on_gpu([&, k = k](const Place& p) {
      const Tensors in = {p.input(x), p.input(logits), p.input(u),
                          p.input(v), p.input(gate),   p.input(residual)};
      const auto by_expert = std::make_shared<ExpertGradients>();
      const Routing routing = route_top_k(in[1], k, false);
      Tensors answers = with_gradients(cdsp_layer(in[0], routing, in[2], in[3], in[4],
                                                  p.value(mask), by_expert, p.engine, in[5]),
                                       p.value(e), in);
      answers.insert(answers.end(), {routing.indices, by_expert->u, by_expert->v});
      return answers;
    });
  }
  for (const int64_t k : {1, 2, 8}) {
    const at::Tensor x = draw.normal({700, 16}), logits = draw.normal({700, 8}),
                     e = draw.normal({700, 16});
    const int64_t width = k == 2 ? 36 : 5;  // in whole pieces of 16 bytes, or not
    const at::Tensor w1 = draw.normal({8, width, 16}), b1 = draw.normal({8, width}),
                     w2 = draw.normal({8, 16, width}), b2 = draw.normal({8, 16});
    check_on_gpu([&](const Place& p) {
      const Tensors in = {p.input(x),  p.input(logits), p.input(w1),
                          p.input(b1), p.input(w2),     p.input(b2)};
      const Routing routing = route_top_k(in[1], k, false);
      return with_gradients(standard_experts(in[0], routing, in[2], in[3], in[4], in[5], p.engine),
                            p.value(e), in);
    });
  }
}

TEST_CASE("on a GPU tensors may begin anywhere") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(11);
  // One number into their memory, where 16 bytes cannot be read at once.
  const auto moved = [](const at::Tensor& tensor) {
    const at::Tensor longer = at::zeros({tensor.numel() + 1}, tensor.options());
    const at::Tensor inside = longer.narrow(0, 1, tensor.numel()).view(tensor.sizes());
    inside.copy_(tensor);
    return inside;
  };
  const at::Tensor x = draw.normal({90, 16}), logits = draw.normal({90, 8}),
                   e = draw.normal({90, 16}), gate = draw.uniform({8}, 0.1, 1.0),
                   u = draw.normal({16, 40}), v = draw.normal({40, 16});
  const at::Tensor mask = mask_of(draw.subsets(8, 40, 14), 40);
  check_on_gpu([&](const Place& p) {
    const auto input = [&](const at::Tensor& values) {
      return moved(p.value(values)).set_requires_grad(true);
    };
    const Tensors in = {input(x), input(u), input(v), input(gate)};
    const auto by_expert = std::make_shared<ExpertGradients>();
    const Routing routing = route_top_k(p.value(logits), 2, false);
    Tensors answers = with_gradients(
        cdsp_layer(in[0], routing, in[1], in[2], in[3], moved(p.value(mask)), by_expert, p.engine),
        moved(p.value(e)), in);
    answers.insert(answers.end(), {by_expert->u, by_expert->v});
    return answers;
  });
  const at::Tensor qkv = draw.normal({3, 20, 64}), up = draw.normal({3, 20, 32});
  check_on_gpu([&](const Place& p) {
    const Tensors in = {moved(p.value(qkv)).set_requires_grad(true)};
    return with_gradients(rotary_attention(in[0], 4, 2, rotary_turns(20, 8, in[0]),
                                           causal_mask(20, p.device), p.engine),
                          moved(p.value(up)), in);
  });
}

TEST_CASE("on a GPU norm and router give what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(8);
  const RouterNorm kind = GENERATE(RouterNorm::kToken, RouterNorm::kSequence);
  for (const auto& [positions, d, experts, k, width] : {std::array<int64_t, 5>{49, 64, 8, 2, 16},
                                                        {7, 64, 8, 8, 4},
                                                        {49, 64, 8, 2, 6},
                                                        {60, 132, 20, 3, 8},
                                                        {150, 20, 33, 4, 6},
                                                        {1, 5, 3, 3, 6}}) {
    INFO(positions << " positions, d " << d << ", " << k << " of " << experts << ", width "
                   << width);
    const at::Tensor h = draw.normal({5, positions, d}), norm = draw.uniform({d}, 0.5, 1.5),
                     weight = draw.normal({experts, d + width}), bias = draw.normal({experts}),
                     embedding = draw.normal({3, width}), e = draw.normal({5 * positions, experts}),
                     up = draw.normal({5 * positions, d});
    for (const bool is_told : {true, false}) {
      at::Tensor told = at::eye(3, at::kDouble).repeat({2, 1}).narrow(0, 0, 5).contiguous();
      told[4].zero_();
      check_on_gpu([&, k = k](const Place& p) {
        Tensors in = {p.input(h), p.input(norm), p.input(weight), p.input(bias)};
        const at::Tensor tasks = p.input(embedding);
        if (is_told) in.push_back(tasks);
        const RoutedTokens tokens =
            normalise_and_route(in[0], in[1], {in[2], in[3], tasks},
                                is_told ? p.value(told) : at::Tensor(), {k, kind, true}, p.engine);
        const Routing& routing = tokens.routing;
        Tensors answers =
            gradients_of(((routing.weights + routing.probabilities) * p.value(e)).sum() +
                             (tokens.x * p.value(up)).sum() + tokens.residual.sum(),
                         in);
        answers.insert(answers.end(),
                       {tokens.x.detach(), routing.weights.detach(), routing.probabilities.detach(),
                        routing.indices, routing.counts});
        return answers;
      });
    }
  }
}

TEST_CASE("on a GPU the network's end gives what its source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(10);
  for (const auto& [batch, positions, d, classes] : {std::array<int64_t, 4>{128, 49, 64, 10},
                                                     {5, 130, 20, 3},
                                                     {3, 530, 7, 40},
                                                     {2, 1, 530, 300}}) {
    INFO(positions << " positions, d " << d << ", " << classes << " classes");
    const at::Tensor h = draw.normal({batch, positions, d}), norm = draw.uniform({d}, 0.5, 1.5),
                     weight = draw.normal({classes, d}), bias = draw.normal({classes}),
                     e = draw.normal({batch, classes});
    for (const bool has_bias : {true, false}) {
      check_on_gpu([&](const Place& p) {
        Tensors in = {p.input(h), p.input(norm), p.input(weight)};
        if (has_bias) in.push_back(p.input(bias));
        return with_gradients(
            pooled_head(in[0], in[1], in[2], has_bias ? in[3] : at::Tensor(), p.engine), p.value(e),
            in);
      });
    }
  }
}

TEST_CASE("on a GPU the lowest expert wins among equal logits") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(5);
  for (const int64_t experts : {2, 8, 33, 64}) {
    for (const int64_t k : {int64_t{1}, int64_t{2}, experts}) {
      // Of few different values, so nearly every token has ties; the last one has nothing else.
      // W_g = [0, 1] and images of one token with a task of their own: the logits are the tasks'.
      const at::Tensor logits = draw.normal({300, experts}).round(),
                       weight = at::cat(
                           {at::zeros({experts, 4}, at::kDouble), at::eye(experts, at::kDouble)},
                           1);
      logits[299].fill_(0.3);
      const at::Tensor e = draw.normal({300, experts});
      check_on_gpu([&](const Place& p) {
        const at::Tensor in = p.input(logits);
        const auto ones = [&p](at::IntArrayRef size) {
          return p.value(at::ones(size, at::kDouble));
        };
        const Routing routing = normalise_and_route(ones({300, 1, 4}), ones({4}),
                                                    {p.value(weight), ones({experts}), in},
                                                    p.value(at::eye(300, at::kDouble)),
                                                    {k, RouterNorm::kToken, false}, p.engine)
                                    .routing;
        CHECK(at::equal(routing.indices[299].to(at::kCPU), at::arange(k)));
        Tensors answers = with_gradients(routing.weights, p.value(e), {in});
        answers.push_back(routing.indices);
        return answers;
      });
    }
  }
}

TEST_CASE("on a GPU patches and topologies are what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(9);
  const at::Tensor images = draw.bytes({9, 28, 28});
  check_on_gpu([&](const Place& p) {
    return Tensors{patches_cuda(images.to(p.device), 4, p.dtype),
                   patches_cuda(images.to(p.device), 7, p.dtype)};
  });
  for (const auto& [experts, columns, rank] :
       {std::array<int64_t, 3>{8, 256, 90}, {1, 3, 2}, {150, 310, 77}}) {
    // Of few different values: ties.
    const at::Tensor alpha = (draw.normal({experts, experts}) * 2.0).round(),
                     e = draw.normal({experts});
    check_on_gpu([&, experts = experts, columns = columns, rank = rank](const Place& p) {
      const at::Tensor in = p.input(alpha);
      const Topology topology = select_topology(in, columns, rank, p.engine);
      Tensors answers = with_gradients(topology.gate, p.value(e), {in});
      answers.push_back(topology.mask);
      answers.push_back(topology_numbers_cuda(
          in.detach().view({-1}), at::zeros({1}, at::kLong).to(p.device), experts * experts));
      return answers;
    });
  }
}

TEST_CASE("on a GPU the lagged signal is what its source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(6);
  const ConflictGradient kind = GENERATE(ConflictGradient::kUv, ConflictGradient::kU);
  // Eight experts of which two meet nobody, and one is idle; all columns for every expert.
  for (const auto& [d, columns, rank] :
       {std::array<int64_t, 3>{16, 60, 20}, {5, 9, 2}, {64, 256, 256}}) {
    INFO(d << " x " << columns << ", rank " << rank);
    const at::Tensor mask = mask_of(draw.subsets(8, columns, rank), columns);
    if (rank < columns) mask.narrow(0, 0, 2).zero_();
    const at::Tensor active = at::arange(8).ne(5);
    const at::Tensor u = draw.normal({8, d, columns}) * mask.unsqueeze(1),
                     v = draw.normal({8, columns, d}) * mask.unsqueeze(2);
    check_on_gpu([&](const Place& p) {
      ConflictSite site, turned;  // two layers, the second with the experts backwards
      site.mask = p.value(mask);
      site.active = active.to(p.device);
      site.gradients = std::make_shared<ExpertGradients>();
      *site.gradients = {p.value(u), p.value(v)};
      turned.mask = site.mask.flip(0);
      turned.active = site.active.flip(0);
      turned.gradients = std::make_shared<ExpertGradients>();
      *turned.gradients = {site.gradients->u.flip(0), site.gradients->v.flip(0)};
      const at::Tensor lagged = p.value(at::full({2, 8, 8}, std::nan(""), at::kDouble));
      write_lagged_signals({site, turned}, kind, {lagged[0], lagged[1]});
      return Tensors{lagged};
    });
  }
}

TEST_CASE("on a GPU a batch and its task dropout are what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(7);
  RouterConfig config;
  config.task_dropout = 0.5;
  config.dropout_unit = GENERATE(DropoutUnit::kSample, DropoutUnit::kBatch);
  const DeviceSplit split = {draw.bytes({200, 28, 28}), at::arange(200).remainder(10),
                             at::arange(200).remainder(3)};
  const at::Tensor order = draw.choices(1, 200, 200)[0];
  for (const int64_t step : {1, 2, 1000000}) {
    check_on_gpu([&](const Place& p) {
      const DeviceSplit there = {split.images.to(p.device), split.labels.to(p.device),
                                 split.tasks.to(p.device)};
      const at::Tensor counters = at::tensor({step, int64_t{70}, int64_t{0}}, at::kLong);
      const DeviceBatch made = make_device_batch(there, order.to(p.device), counters.to(p.device),
                                                 128, 3, p.dtype, config, 99);
      return Tensors{made.batch.images, made.batch.labels, made.batch.tasks, made.tasks, made.told};
    });
  }
}

TEST_CASE("on a GPU clipping and AdamW give what their source gives on the host") {
  if (!has_gpu_and_kernels()) return;
  Draw draw(3);
  const at::Tensor value = draw.normal({34000}), gradient = draw.normal({34000});
  // Three parameters: the second is fast and without decay, the third is not reached at every step.
  const at::Tensor owner = at::arange(34000, at::kLong).div(12000, "floor").to(at::kInt);
  const double clip_norm = GENERATE(1.0, 0.0);
  const bool is_spoilt_at_the_end = GENERATE(false, true);
  check_on_gpu([&](const Place& p) {
    const auto filled = [&p](at::IntArrayRef size, double with, at::ScalarType type) {
      return at::full(size, with, at::TensorOptions().dtype(type).device(p.device));
    };
    const auto numbers = [&p](const std::vector<double>& values) {
      return at::tensor(values, at::kDouble).to(p.device);
    };
    const FlatAdamWState state{p.value(value).clone(),      filled({34000}, 0, p.dtype),
                               filled({34000}, 0, p.dtype), owner.to(p.device),
                               filled({3}, 0, at::kLong),   numbers({0.01, 0.1, 0.01}),
                               numbers({0.1, 0.0, 0.1}),    filled({1}, 0, at::kInt)};
    const at::Tensor norm = filled({1}, 0, p.dtype);
    for (int step = 0; step < 4; ++step) {
      at::Tensor reached = filled({3}, 1, at::kByte);
      if (step % 2 == 1) reached[2].fill_(0);
      const double loss = is_spoilt_at_the_end && step == 3 ? HUGE_VAL : 0.5;
      clipped_adamw_step(state, p.value(gradient), reached, filled({}, loss, p.dtype), clip_norm,
                         norm);
    }
    return Tensors{state.value, state.first_moment, state.second_moment, state.updates,
                   norm,        state.spoilt};
  });
}

TEST_CASE("on a GPU products of fewer bits err as their format says, and the switch is put back") {
  if (!has_gpu_with_fewer_bits()) return;
  Draw draw(4);
  const at::Device gpu(at::kCUDA, 0);
  const bool before = at::globalContext().allowTF32CuBLAS();
  // 6,272 terms: what cuBLAS splits into partial sums.
  const at::Tensor a = draw.normal({64, 6272}), b = draw.normal({6272, 64});
  const at::Tensor exact = at::mm(a, b), scale = at::mm(a.abs(), b.abs());
  const auto error_of = [&](Precision precision) {
    const at::Tensor found =
        matrix_product(a.to(gpu, at::kFloat), b.to(gpu, at::kFloat), precision);
    CHECK(found.scalar_type() == at::kFloat);
    return ((found.to(at::kCPU, at::kDouble) - exact).abs() / scale).max().item<double>();
  };
  const double full = error_of(Precision::kFull), tf32 = error_of(Precision::kTf32),
               bf16 = error_of(Precision::kBf16);
  CHECK(full < 1e-6);
  CHECK(tf32 > 3 * full);  // it does use fewer bits
  CHECK(tf32 < 3.1 / 1024);
  CHECK(bf16 > 3 * tf32);
  CHECK(bf16 < 3.1 / 256);
  CHECK(at::globalContext().allowTF32CuBLAS() == before);

  const at::Tensor x = a.to(gpu, at::kFloat).set_requires_grad(true),
                   w = b.t().contiguous().to(gpu, at::kFloat).set_requires_grad(true);
  for (const Precision precision : {Precision::kTf32, Precision::kBf16}) {
    const Tensors found = gradients_of(projected(x, w, precision).sum(), {x, w});
    const Tensors expected = gradients_of(at::mm(x, w.t()).sum(), {x, w});
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(relative_error(found[i].to(at::kCPU, at::kDouble),
                           expected[i].to(at::kCPU, at::kDouble)) < 2e-2);
    }
  }
  CHECK(at::globalContext().allowTF32CuBLAS() == before);
}
