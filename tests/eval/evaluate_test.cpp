// A network's answers and routing on a whole split, against a loop over single images.
#include "eval/evaluate.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "base/error.h"
#include "eval/task_input.h"
#include "eval/topology_measures.h"
#include "support/catch.h"
#include "support/closeness.h"
#include "support/draw.h"
#include "support/loop_game.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

Network network_of(Variant variant, EngineChoice engine = EngineChoice::kAuto) {
  Config config = tiny_config(variant);
  config.train.engine = engine;
  return Network(config, {8, 8, 3}, at::kCPU);
}

struct Test {
  Dataset data = tiny_dataset();
  DeviceSplit split = place(data.test, at::kCPU);
};

std::vector<Evaluation> evaluate_all(const Network& network, const Test& test, int64_t batch_size) {
  return evaluate(network, test.split, all_protocols(3), batch_size);
}

/// The k-sets of an image's tokens in each layer.
std::vector<std::vector<std::set<int64_t>>> routes_of(const ForwardResult& forward) {
  std::vector<std::vector<std::set<int64_t>>> routes;
  for (const Routing& routing : forward.routing) {
    routes.emplace_back();
    const auto chosen = routing.indices.accessor<int64_t, 2>();
    for (int64_t token = 0; token < routing.indices.size(0); ++token) {
      routes.back().push_back({chosen[token][0], chosen[token][1]});
    }
  }
  return routes;
}

/// The same evaluation, one image at a time.
Evaluation loop_evaluate(const Network& network, const Test& test, const Protocol& protocol) {
  Evaluation result;
  result.accuracy = result.loss = result.images = std::vector<double>(3, 0.0);
  result.routing.assign(2, std::vector<std::vector<double>>(3, std::vector<double>(4, 0.0)));
  result.same_route.assign(2, std::vector<double>(3, 0.0));
  result.route_jaccard = result.same_route;
  for (size_t task = 0; task < 3; ++task) {
    const int64_t begin = test.data.test.task_offsets[task],
                  end = test.data.test.task_offsets[task + 1];
    const auto images = static_cast<double>(end - begin);
    result.images[task] = images;
    for (int64_t image = begin; image < end; ++image) {
      const Batch batch = slice(test.split, image, 1);
      const auto forward_as = [&](const Protocol& p) {
        return network.forward(batch.images, task_input(p, batch.tasks, 3, at::kDouble));
      };
      const ForwardResult forward = forward_as(protocol);
      const int64_t label = test.data.test.labels[static_cast<size_t>(image)];
      const at::Tensor shares = at::softmax(forward.logits[0], 0);
      result.loss[task] -= std::log(shares[label].item<double>()) / images;
      if (forward.logits[0].argmax().item<int64_t>() == label)
        result.accuracy[task] += 1.0 / images;
      const auto routes = routes_of(forward), informed = routes_of(forward_as(Protocol()));
      for (size_t layer = 0; layer < 2; ++layer) {
        const auto tokens = static_cast<double>(routes[layer].size()) * images;
        for (size_t token = 0; token < routes[layer].size(); ++token) {
          const std::set<int64_t>&a = routes[layer][token], &b = informed[layer][token];
          double shared = 0.0;
          for (const int64_t expert : a) {
            result.routing[layer][task][static_cast<size_t>(expert)] += 0.5 / tokens;
            shared += b.count(expert) > 0 ? 1.0 : 0.0;
          }
          result.same_route[layer][task] += a == b ? 1.0 / tokens : 0.0;
          result.route_jaccard[layer][task] += shared / (4.0 - shared) / tokens;
        }
      }
    }
  }
  return result;
}

void check_same(const Evaluation& found, const Evaluation& expected) {
  INFO("protocol " << found.protocol.name());
  CHECK(found.images == expected.images);
  CHECK(relative_error(found.accuracy, expected.accuracy) < 1e-12);
  CHECK(relative_error(found.loss, expected.loss) < 1e-12);
  REQUIRE(found.routing.size() == expected.routing.size());
  for (size_t layer = 0; layer < expected.routing.size(); ++layer) {
    INFO("layer " << layer);
    CHECK(relative_error(found.same_route[layer], expected.same_route[layer]) < 1e-12);
    CHECK(relative_error(found.route_jaccard[layer], expected.route_jaccard[layer]) < 1e-12);
    for (size_t task = 0; task < 3; ++task) {
      CHECK(relative_error(found.routing[layer][task], expected.routing[layer][task]) < 1e-12);
    }
  }
}

}  // namespace

TEST_CASE("answers, losses, routing and routes equal those of a loop over single images") {
  const Test test;
  const EngineChoice engine = GENERATE(EngineChoice::kReference, EngineChoice::kFused);
  for (const Variant variant : {Variant::kCdsp, Variant::kBaseline, Variant::kBlind}) {
    INFO(to_string(variant) << ", engine " << to_string(engine));
    const Network network = network_of(variant, engine);
    for (const Evaluation& found : evaluate_all(network, test, 5)) {
      check_same(found, loop_evaluate(network, test, found.protocol));
    }
  }
}

TEST_CASE("the batch size changes nothing") {
  const Test test;
  const Network network = network_of(Variant::kCdsp);
  const auto expected = evaluate_all(network, test, 12);
  for (const int64_t batch_size : {1, 5, 100}) {
    INFO("batches of " << batch_size);
    const auto found = evaluate_all(network, test, batch_size);
    REQUIRE(found.size() == 5);
    for (size_t p = 0; p < found.size(); ++p) check_same(found[p], expected[p]);
  }
}

TEST_CASE("routing rows sum to 1") {
  const Test test;
  for (const Evaluation& found : evaluate_all(network_of(Variant::kCdsp), test, 5)) {
    for (const auto& layer : found.routing) {
      for (const auto& row : layer) {
        double sum = 0.0;
        for (const double share : row) sum += share;
        CHECK(sum == Catch::Approx(1.0).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("the variant blind answers the same whatever it is told") {
  const Test test;
  const auto found = evaluate_all(network_of(Variant::kBlind), test, 5);
  for (const Evaluation& evaluation : found) {
    INFO(evaluation.protocol.name());
    CHECK(evaluation.routing == found[0].routing);
    CHECK(evaluation.accuracy == found[0].accuracy);
    CHECK(evaluation.loss == found[0].loss);
  }
  const auto sighted = evaluate_all(network_of(Variant::kCdsp), test, 5);
  CHECK(sighted[1].loss != sighted[0].loss);
}

TEST_CASE("forcing the true task is being informed") {
  const Test test;
  const auto found = evaluate_all(network_of(Variant::kCdsp), test, 5);
  for (size_t task = 0; task < 3; ++task) {
    const Evaluation& forced = found[2 + task];
    CHECK(forced.loss[task] == found[0].loss[task]);
    CHECK(forced.routing[1][task] == found[0].routing[1][task]);
    CHECK(forced.same_route[0][task] == 1.0);
  }
}

TEST_CASE("the routes of the first protocol agree with themselves") {
  const Test test;
  const Network network = network_of(Variant::kCdsp);
  const auto alone = evaluate(network, test.split, {parse_protocol("blind", 3)}, 5);
  REQUIRE(alone.size() == 1);
  for (size_t layer = 0; layer < 2; ++layer) {
    CHECK(alone[0].same_route[layer] == std::vector<double>(3, 1.0));
    CHECK(alone[0].route_jaccard[layer] == std::vector<double>(3, 1.0));
  }
}

TEST_CASE("totals weigh every image alike, not every task") {
  Evaluation evaluation;
  evaluation.images = {1.0, 3.0};
  evaluation.accuracy = {1.0, 0.5};
  evaluation.loss = {2.0, 1.0};
  CHECK(evaluation.total_accuracy() == Catch::Approx(2.5 / 4.0));
  CHECK(evaluation.total_loss() == Catch::Approx(5.0 / 4.0));
}

TEST_CASE("an evaluation asked to stop stops between batches") {
  const Test test;
  std::vector<double> shares;
  const auto keep_going = [&shares](double share) {
    shares.push_back(share);
    return shares.size() < 3;
  };
  CHECK_THROWS_AS(evaluate(network_of(Variant::kCdsp, EngineChoice::kReference), test.split,
                           all_protocols(3), 4, keep_going),
                  WorkError);
  REQUIRE(shares.size() == 3);
  CHECK(shares[0] == 0.0);
  CHECK(shares[1] == Catch::Approx(1.0 / 3.0));
  CHECK(shares[2] == Catch::Approx(2.0 / 3.0));
}

TEST_CASE("the fused engine's evaluation stops too, after what its threads share out at first") {
  TinyShape shape;
  shape.test = {30, 30, 30};
  const Dataset data = tiny_dataset(shape);
  const DeviceSplit split = place(data.test, at::kCPU);
  const Network network = network_of(Variant::kCdsp, EngineChoice::kFused);
  std::vector<double> shares;
  const auto keep_going = [&shares](double share) {
    shares.push_back(share);
    return shares.size() < 2;
  };
  CHECK_THROWS_AS(evaluate(network, split, {parse_protocol("informed", 3)}, 1, keep_going),
                  WorkError);
  REQUIRE(shares.size() == 2);
  CHECK(shares[0] == 0.0);
  CHECK(shares[1] == Catch::Approx(16.0 / 90.0));  // 16 parts of one image
}

TEST_CASE("how many images go together changes no result of the fused engine") {
  TinyShape shape;
  shape.test = {150, 97, 120};
  const Dataset data = tiny_dataset(shape);
  const DeviceSplit split = place(data.test, at::kCPU);
  const Network network = network_of(Variant::kCdsp, EngineChoice::kFused);
  const auto with = [&](int64_t parts_at_first, size_t& calls) {
    Evaluator evaluator(network, split, all_protocols(3), 8, parts_at_first);
    for (calls = 0; evaluator.has_next(); ++calls) evaluator.advance();
    return evaluator.results();
  };
  size_t calls = 0;
  const auto expected = with(1000, calls);
  CHECK(calls == 1);
  for (const int64_t parts : {1, 3, 16}) {
    INFO(parts << " parts at first");
    const auto found = with(parts, calls);
    CHECK(calls > 1);  // of the 46 parts
    for (size_t p = 0; p < expected.size(); ++p) {
      CHECK(found[p].loss == expected[p].loss);
      CHECK(found[p].accuracy == expected[p].accuracy);
      CHECK(found[p].routing == expected[p].routing);
      CHECK(found[p].route_jaccard == expected[p].route_jaccard);
    }
  }
}

TEST_CASE("evaluating leaves the network as it was and records no gradients") {
  const Test test;
  const Network network = network_of(Variant::kCdsp);
  const at::Tensor before = network.parameters().flat().clone();
  evaluate_all(network, test, 5);
  CHECK(same_bytes(network.parameters().flat(), before));
  for (const Parameter& p : network.parameters().all()) CHECK_FALSE(p.value.grad().defined());
}

TEST_CASE("link strengths are sigma(A), row by row") {
  const at::Tensor alpha = at::tensor({0.0f, 2.0f, -1.0f, 100.0f}, at::kFloat).view({2, 2});
  const auto rows = link_strengths(alpha);
  REQUIRE(rows.size() == 2);
  CHECK(relative_error(rows[0], {0.5, 1.0 / (1.0 + std::exp(-2.0))}) < 1e-15);
  CHECK(relative_error(rows[1], {1.0 / (1.0 + std::exp(1.0)), 1.0}) < 1e-15);
}

TEST_CASE("rank overlap is |S_i and S_j| / r") {
  Draw draw(1);
  for (const int64_t rank : {1, 9, 23}) {
    const at::Tensor alpha = draw.normal({4, 4});
    const auto found = rank_overlap(alpha, 23, rank);
    const IndexSets selection = loop_selection(alpha, 23, rank);
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 4; ++j) {
        double shared = 0.0;
        for (const int64_t column : selection[i]) {
          shared +=
              static_cast<double>(std::count(selection[j].begin(), selection[j].end(), column));
        }
        INFO("rank " << rank << ", experts " << i << " and " << j);
        CHECK(found[i][j] == Catch::Approx(shared / static_cast<double>(rank)));
      }
    }
  }
}
