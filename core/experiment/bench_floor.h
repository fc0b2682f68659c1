// The floor under a step's time: its matrix products, in the engine's tiles and on its threads, by
// the BLAS that LibTorch uses (blas_product.h), and nothing else. Operands stay in the caches,
// nothing is gathered or written back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "config/config.h"
#include "experiment/step_products.h"

namespace cdsp {

class GemmFloor {
 public:
  GemmFloor(std::vector<ProductGroup> groups, DType dtype);

  /// Does all products once, on as many threads as LibTorch is set to. Returns milliseconds.
  double run();

  double flops() const { return flops_of(groups_); }
  const std::vector<ProductGroup>& groups() const { return groups_; }
  /// Milliseconds of each group in the last run.
  const std::vector<double>& group_milliseconds() const { return group_milliseconds_; }

 private:
  std::vector<ProductGroup> groups_;
  at::Tensor operands_;          // [2, largest]: left and right, shared by all threads
  at::Tensor results_;           // [threads, largest]
  int64_t largest_operand_ = 0;  // numbers in the largest matrix, rounded up to whole cache lines
  std::vector<double> group_milliseconds_;
};

struct FloorRequest {
  std::vector<Variant> variants = {Variant::kBaseline, Variant::kCdsp};
  std::vector<ProductForm> forms = {ProductForm::kEngine, ProductForm::kDense,
                                    ProductForm::kSelected};
  std::vector<BenchPhase> phases = {BenchPhase::kTrain};
  std::vector<int64_t> batches = {128};
  std::vector<int64_t> threads = {0};  // 0 = all cores
  std::vector<DType> dtypes = {DType::kFloat32};
  int64_t steps = 10;   // per measurement
  int64_t repeats = 5;  // measurements; the median counts
};

/// What the products of one part of the network take.
struct FloorPart {
  std::string part;
  double flops = 0;  // a step
  double ms = 0;     // median
};

struct FloorResult {
  std::string variant, phase, form, dtype;
  int64_t batch = 0, threads = 0;
  double flops = 0;  // a step
  double ms_per_step = 0, ms_fastest = 0, ms_slowest = 0;
  double images_per_s = 0, gflop_per_s = 0;
  std::vector<FloorPart> parts;        // in the order of the network
  std::vector<ProductGroup> products;  // what was multiplied
};

/// Every combination of the request, visited in turn, round after round.
std::vector<FloorResult> bench_floor(const Config& base, const FloorRequest& request);

}  // namespace cdsp
