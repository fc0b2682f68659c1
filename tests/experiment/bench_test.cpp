// The benchmarks as functions, in tiny sizes: what they return, never how long it took.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "base/error.h"
#include "experiment/bench_epoch.h"
#include "experiment/bench_kernels.h"
#include "experiment/bench_scaling.h"
#include "experiment/bench_step.h"
#include "experiment/kernel_cases.h"
#include "support/catch.h"

namespace {

using namespace cdsp;
using Catch::Matchers::ContainsSubstring;

Config tiny() {
  Config config;
  config.model.d_model = 8;
  config.model.layers = 1;
  config.model.patch_size = 14;
  config.moe.num_experts = 2;
  config.moe.top_k = 1;
  config.moe.d_base = 8;
  config.moe.d_ffn = 4;
  return config;
}

ScalingRequest scaling_request(std::vector<ScalingSweep> sweeps) {
  ScalingRequest request;
  request.sweeps = std::move(sweeps);
  request.batch = 2;
  request.threads = 1;
  request.steps = request.repeats = 1;
  return request;
}

}  // namespace

TEST_CASE("the kernel benchmark's cases are the same for both engines", "[experiment]") {
  Config config = tiny();
  config.model.dtype = DType::kFloat64;
  const auto cases = kernel_cases(config, 3);
  REQUIRE(cases.size() == kernel_names().size());
  for (size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(cases[i].kernel);
    CHECK(cases[i].kernel == kernel_names()[i]);
    const at::Tensor reference = cases[i].forward(Engine::kReference);
    const at::Tensor fused = cases[i].forward(Engine::kFused);
    CHECK(at::allclose(reference, fused, 1e-10, 1e-12));
    if (!cases[i].has_backward()) continue;
    const auto expected = cases[i].backward(reference), found = cases[i].backward(fused);
    REQUIRE(expected.size() == cases[i].leaves.size());
    for (size_t g = 0; g < expected.size(); ++g) {
      REQUIRE(expected[g].defined());
      // A router weight of 0 stands for "not selected"; nobody asks for its gradient.
      const at::Tensor counted = cases[i].leaves[g].ne(0);
      CHECK(at::allclose(expected[g] * counted, found[g] * counted, 1e-9, 1e-11));
    }
  }
}

TEST_CASE("the benchmark's optimiser moves all parameters, by each engine its own",
          "[experiment]") {
  const auto cases = kernel_cases(tiny(), 3);
  const KernelCase& adamw = cases.back();
  REQUIRE(adamw.kernel == "adamw");
  const at::Tensor first = adamw.forward(Engine::kReference).clone();
  const at::Tensor fused = adamw.forward(Engine::kFused).clone();
  const at::Tensor second = adamw.forward(Engine::kReference);
  CHECK(at::allclose(first, fused));
  CHECK(second.ne(first).all().item<bool>());
}

TEST_CASE("kernels are measured forward and, where they have one, backward", "[experiment]") {
  KernelBenchRequest request;
  request.kernels = {"pooled_head", "cdsp_layer", "conflict_game"};
  request.batches = {2};
  request.threads = {1};
  request.steps = request.repeats = 1;
  const auto results = bench_kernels(tiny(), request);
  REQUIRE(results.size() == 5);
  CHECK(results[0].kernel == "cdsp_layer");
  CHECK(results[0].pass == "forward");
  CHECK(results[3].kernel == "pooled_head");
  CHECK(results[3].pass == "backward");
  CHECK(results[4].kernel == "conflict_game");
  CHECK(results[4].pass == "forward");
  for (const KernelBenchResult& result : results) {
    CHECK(result.reference_ms > 0);
    CHECK(result.fused_ms > 0);
    // Of one round the median is the ratio itself.
    CHECK(result.speedup == Catch::Approx(result.reference_ms / result.fused_ms));
  }
}

TEST_CASE("an evaluation is compared to its training round by round", "[experiment]") {
  StepBenchRequest request;
  request.variants = {Variant::kCdsp};
  request.phases = {BenchPhase::kTrain, BenchPhase::kEvaluate};
  request.batches = {4};
  request.threads = {1};
  request.steps = 1;
  request.repeats = 4;
  const auto results = bench_step(tiny(), request);
  const std::vector<double>&training = results[0].ms_of_rounds,
        &evaluation = results[1].ms_of_rounds;
  REQUIRE(training.size() == 4);
  REQUIRE(evaluation.size() == 4);
  std::vector<double> ratios;
  for (size_t round = 0; round < 4; ++round) ratios.push_back(training[round] / evaluation[round]);
  std::sort(ratios.begin(), ratios.end());
  CHECK(results[1].times_training_speed.value() == Catch::Approx((ratios[1] + ratios[2]) / 2));
  CHECK(results[0].ms_fastest == *std::min_element(training.begin(), training.end()));
}

TEST_CASE("a step has its floor beside it, and an evaluation its training", "[experiment]") {
  StepBenchRequest request;
  request.variants = {Variant::kCdsp};
  request.phases = {BenchPhase::kTrain, BenchPhase::kEvaluate};
  request.batches = {4};
  request.threads = {1};
  request.steps = 2;
  request.repeats = 1;
  const auto results = bench_step(tiny(), request);
  REQUIRE(results.size() == 2);
  CHECK(results[0].phase == "train");
  CHECK(results[0].step == "eager");
  CHECK_FALSE(results[0].times_training_speed.has_value());
  CHECK(results[1].phase == "eval");
  CHECK(results[1].step.empty());  // an evaluation makes none
  REQUIRE(results[1].times_training_speed.has_value());
  CHECK(*results[1].times_training_speed ==
        Catch::Approx(results[1].images_per_s / results[0].images_per_s));
  for (const StepBenchResult& result : results) {
    REQUIRE(result.floor.has_value());
    CHECK(result.floor->percent_reached ==
          Catch::Approx(100 * result.floor->ms / result.ms_per_step));
    CHECK(result.floor->gflop_per_s ==
          Catch::Approx(result.floor->gflop_per_step / result.floor->ms * 1000));
  }
  CHECK(results[1].floor->gflop_per_step < results[0].floor->gflop_per_step);
}

TEST_CASE("scaling visits every value and keeps the rest", "[experiment]") {
  const auto points = bench_scaling(tiny(), scaling_request({{ScalingAxis::kBatch, {1, 2, 4}},
                                                             {ScalingAxis::kExperts, {1, 2, 4}},
                                                             {ScalingAxis::kThreads, {1, 2}}}));
  REQUIRE(points.size() == 2 * (3 + 3 + 2));
  CHECK(std::isnan(points[0].time_exponent));
  CHECK(std::isfinite(points[1].time_exponent));
  CHECK(std::isnan(points[3].time_exponent));  // the next variant starts anew
  // What a batch costs is proportional, but for the step's own Gramians; equal parameters make the
  // baseline's arithmetic shrink with the experts.
  CHECK(points[1].arithmetic_exponent == Catch::Approx(1.0));
  CHECK(points[1].step.variant == "baseline");
  CHECK(points[2].step.batch == 4);
  CHECK(points[6].value == 1);
  CHECK(points[6].step.batch == 2);
  CHECK(points[8].step.floor->gflop_per_step < points[6].step.floor->gflop_per_step);
  CHECK(points.back().step.threads == 2);
  const std::string csv = scaling_csv(points);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 1 + static_cast<int64_t>(points.size()));
  CHECK_THAT(csv, ContainsSubstring("\nbatch,1,baseline,1,1,"));
}

TEST_CASE("scaling refuses a value that the config does not allow", "[experiment]") {
  Config config = tiny();
  config.moe.top_k = 2;
  CHECK_THROWS_WITH(bench_scaling(config, scaling_request({{ScalingAxis::kExperts, {1, 2}}})),
                    ContainsSubstring("experts 1") && ContainsSubstring("top_k"));
}

TEST_CASE("an epoch's parts are all there", "[experiment]") {
  EpochBenchRequest request;
  request.images = 30;
  request.test_images = 9;
  request.batch = 4;
  request.threads = 1;
  request.repeats = 1;
  Config config = tiny();
  config.train.log_every = 1;
  const auto results = bench_epoch(config, request);
  REQUIRE(results.size() == 2);
  for (const EpochBenchResult& result : results) {
    CHECK(result.images == 30);
    CHECK(result.test_images == 9);
    CHECK(result.steps == 8);  // the last one smaller
    CHECK(result.epoch_ms > 0);
    CHECK(result.data_ms > 0);
    CHECK(result.metrics_ms > 0);
    CHECK(result.logging_ms > 0);
    CHECK(result.evaluation_speed > 0);
    CHECK(result.overhead_percent > 0);
    CHECK(result.overhead_percent < 100);
  }
}
