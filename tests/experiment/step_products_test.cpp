// The arithmetic of a step, counted by hand, and the tiles it is cut into.
#include "experiment/step_products.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "experiment/bench_floor.h"
#include "experiment/bench_timing.h"
#include "experiment/blas_product.h"
#include "support/catch.h"

namespace {

using namespace cdsp;

/// Multiply-adds by hand for the paper's config: d 64, D 256, 8 experts, 2 a token, r 90, f 32,
/// patches of 16 pixels, 49 of them, 4 heads on 2.
struct ByHand {
  double embedding = 16 * 64;
  double projections = 64 * 128 + 64 * 64;
  double scores = 2 * 49 * 64;
  double router = 8 * 64;
  double experts;
  double head = 10 * 64;
  double conflict = 0;

  /// Of a training step: the backward pass costs twice the forward, the embedding's once.
  double training(double batch) const {
    const double token = 2 * embedding + 2 * 3 * (projections + scores + router + experts);
    return 2 * (batch * (49 * token + 3 * head) + 2 * conflict);
  }
  double evaluation(double batch) const {
    const double token = embedding + 2 * (projections + scores + router + experts);
    return 2 * batch * (49 * token + head);
  }
};

ByHand by_hand(double experts, double conflict = 0) {
  ByHand sums;
  sums.experts = experts;
  sums.conflict = conflict;
  return sums;
}

Config paper(Variant variant) {
  Config config;
  config.variant = variant;
  return config;
}

double flops(const Config& config, int64_t batch, BenchPhase phase, ProductForm form) {
  return flops_of(step_products(config, batch, phase, form));
}

/// Tokens that each part's tiles hold together, by the rows of their first product.
int64_t rows_of(const std::vector<ProductGroup>& groups, const std::string& part) {
  int64_t rows = 0;
  for (const ProductGroup& group : groups) {
    if (group.part == part) rows += group.tiles * group.products.front().rows;
  }
  return rows;
}

}  // namespace

TEST_CASE("a step's arithmetic follows from the config", "[experiment]") {
  const double gramians = 8 * 8 * (2 * 64 * 256 + 256);
  const ByHand dense = by_hand(2 * 64 * 256, gramians),
               selected = by_hand(2 * 2 * 64 * 90, gramians);
  const Config cdsp = paper(Variant::kCdsp);
  // Batches that tiles do not divide, too.
  for (const int64_t batch : {1, 7, 128}) {
    CAPTURE(batch);
    const auto images = static_cast<double>(batch);
    CHECK(flops(cdsp, batch, BenchPhase::kTrain, ProductForm::kDense) == dense.training(images));
    CHECK(flops(cdsp, batch, BenchPhase::kTrain, ProductForm::kSelected) ==
          selected.training(images));
    // 2 experts of 90 columns are fewer than 256: the engine groups the tokens.
    CHECK(flops(cdsp, batch, BenchPhase::kTrain, ProductForm::kEngine) ==
          selected.training(images));
    CHECK(flops(cdsp, batch, BenchPhase::kEvaluate, ProductForm::kEngine) ==
          selected.evaluation(images));
    // 2 of 200 are more: dense but for the weights' gradients, a third of the layer.
    Config wide = cdsp;
    wide.moe.rank = 200;
    CHECK(flops(wide, batch, BenchPhase::kTrain, ProductForm::kEngine) ==
          by_hand((2 * dense.experts + 2 * 2 * 64 * 200) / 3, gramians).training(images));
    CHECK(flops(wide, batch, BenchPhase::kEvaluate, ProductForm::kEngine) ==
          dense.evaluation(images));
    for (const Variant variant : {Variant::kBaseline, Variant::kBlind}) {
      const Config standard = paper(variant);
      CHECK(flops(standard, batch, BenchPhase::kTrain, ProductForm::kEngine) ==
            by_hand(2 * 2 * 64 * 32).training(images));
      CHECK(flops(standard, batch, BenchPhase::kTrain, ProductForm::kDense) ==
            by_hand(2 * 8 * 64 * 32).training(images));
    }
  }
  // The two figures that the method's description leads to: 31 and 25 million an image.
  CHECK(dense.training(128) / 128 / 1e6 == Catch::Approx(30.7).epsilon(0.01));
  CHECK(selected.training(128) / 128 / 1e6 == Catch::Approx(25.0).epsilon(0.01));
}

TEST_CASE("the config's keys move the arithmetic", "[experiment]") {
  const Config cdsp = paper(Variant::kCdsp);
  const auto count = [](const Config& config) {
    return flops(config, 4, BenchPhase::kTrain, ProductForm::kEngine);
  };
  Config changed = cdsp;
  changed.conflict.gradient = ConflictGradient::kU;
  CHECK(count(cdsp) - count(changed) == 2.0 * 2 * 8 * 8 * 64 * 256);
  changed = cdsp;
  changed.model.kv_heads = 4;
  CHECK(count(changed) - count(cdsp) == 2.0 * 2 * 3 * 4 * 49 * 64 * 64);
  changed = cdsp;
  changed.moe.rank = 256;
  CHECK(count(changed) > count(cdsp));
  changed = cdsp;
  changed.model.layers = 4;
  CHECK(count(changed) > 1.9 * count(cdsp));
}

TEST_CASE("tiles hold every token once", "[experiment]") {
  const auto cdsp =
      step_products(paper(Variant::kCdsp), 3, BenchPhase::kTrain, ProductForm::kDense);
  CHECK(rows_of(cdsp, "embedding") == 3 * 49);
  CHECK(rows_of(cdsp, "experts") == 2 * 3 * 49);    // both layers
  CHECK(cdsp.front().tiles == 3);                   // images
  std::vector<std::pair<int64_t, int64_t>> layers;  // (tiles, tokens of one)
  for (const ProductGroup& group : cdsp) {
    if (group.part == "experts") layers.emplace_back(group.tiles, group.products.front().rows);
  }
  CHECK(layers == std::vector<std::pair<int64_t, int64_t>>{{2 * 2, 64}, {2 * 1, 3 * 49 - 2 * 64}});
  const auto baseline =
      step_products(paper(Variant::kBaseline), 3, BenchPhase::kTrain, ProductForm::kEngine);
  CHECK(rows_of(baseline, "experts") == 2 * 2 * 3 * 49);  // both layers, both slots
  // Blocks of 784 tokens give each of 8 experts 196 of the pairs, which make four tiles of 49, not
  // three of 64 and a short one.
  int64_t tiles = 0;
  for (const ProductGroup& group :
       step_products(paper(Variant::kBaseline), 128, BenchPhase::kTrain, ProductForm::kEngine)) {
    if (group.part != "experts") continue;
    CHECK(group.products.front().rows == 49);
    tiles += group.tiles;
  }
  CHECK(tiles == 2 * 8 * 8 * 4);  // layers, experts, blocks
  // One image, one expert a token, more experts than tokens: some have none, and no empty tile is
  // listed.
  Config many = paper(Variant::kBaseline);
  many.moe.num_experts = 64;
  many.moe.top_k = 1;
  for (const ProductGroup& group :
       step_products(many, 1, BenchPhase::kTrain, ProductForm::kEngine)) {
    CHECK(group.tiles > 0);
    for (const MatrixProduct& product : group.products) CHECK(product.flops() > 0);
  }
}

TEST_CASE("the floor multiplies what is listed", "[experiment]") {
  Config config = paper(Variant::kCdsp);
  config.model.d_model = 16;
  FloorRequest request;
  request.batches = {2};
  request.threads = {1, 2};
  request.dtypes = {DType::kFloat32, DType::kFloat64};
  request.phases = {BenchPhase::kTrain, BenchPhase::kEvaluate};
  request.steps = request.repeats = 1;
  const auto results = bench_floor(config, request);
  REQUIRE(results.size() == 2 * 2 * 2 * 2 * 3);
  for (const FloorResult& result : results) {
    CHECK(result.ms_per_step > 0);
    CHECK(result.ms_fastest <= result.ms_slowest);
    CHECK(result.gflop_per_s == Catch::Approx(result.flops / result.ms_per_step / 1e6));
    double sum = 0;
    for (const FloorPart& part : result.parts) sum += part.flops;
    CHECK(sum == Catch::Approx(result.flops));
    const bool has_game = result.variant == "cdsp" && result.phase == "train";
    CHECK((result.parts.size() == 7) == has_game);
  }
}

TEST_CASE("the floor's products are products", "[experiment]") {
  for (const bool left_transposed : {false, true}) {
    for (const bool right_transposed : {false, true}) {
      for (const bool adds : {false, true}) {
        const MatrixProduct product = {"", left_transposed, right_transposed, 3, 5, 4, adds};
        const at::Tensor left = at::rand({3, 4}, at::kDouble),
                         right = at::rand({4, 5}, at::kDouble);
        const auto stored = [](const at::Tensor& matrix, bool transposed) {
          return transposed ? matrix.t().contiguous() : matrix;
        };
        const at::Tensor before = at::rand({3, 5}, at::kDouble);
        at::Tensor result = before.clone();
        const at::Tensor a = stored(left, left_transposed), b = stored(right, right_transposed);
        blas_product(product, a.data_ptr<double>(), b.data_ptr<double>(),
                     result.data_ptr<double>());
        const at::Tensor expected = at::mm(left, right);
        CHECK(at::allclose(result, adds ? expected + before : expected, 1e-12));
        at::Tensor narrow = before.to(at::kFloat);
        blas_product(product, a.to(at::kFloat).data_ptr<float>(),
                     b.to(at::kFloat).data_ptr<float>(), narrow.data_ptr<float>());
        CHECK(at::allclose(narrow.to(at::kDouble), result, 1e-5));
      }
    }
  }
}

TEST_CASE("times are put together", "[experiment]") {
  const Times odd = summarise_times({3, 1, 2}), even = summarise_times({4, 1, 2, 8});
  CHECK(odd.median == 2);
  CHECK(odd.fastest == 1);
  CHECK(odd.slowest == 3);
  CHECK(even.median == 3);
  CHECK(median_ratio({1, 20, 3}, {1, 10, 6}) == 1);  // the medians' would be 3 / 6
  CHECK(growth_exponent(2, 10, 4, 40) == Catch::Approx(2.0));
  CHECK(growth_exponent(1, 5, 8, 5) == Catch::Approx(0.0));
  CHECK(std::isnan(growth_exponent(2, 1, 2, 2)));
}
