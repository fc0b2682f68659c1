#include "experiment/bench_floor.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include "base/random.h"
#include "experiment/bench_images.h"
#include "experiment/bench_timing.h"
#include "experiment/blas_product.h"
#include "kernels/work_queue.h"
#include "model/network.h"
#include "train/runtime.h"

namespace cdsp {
namespace {

constexpr int64_t kCacheLine = 16;  // floats

int64_t largest_matrix(const std::vector<ProductGroup>& groups) {
  int64_t largest = kCacheLine;
  for (const ProductGroup& group : groups) {
    for (const MatrixProduct& p : group.products) {
      largest = std::max({largest, p.rows * p.inner, p.inner * p.columns, p.rows * p.columns});
    }
  }
  return (largest + kCacheLine - 1) / kCacheLine * kCacheLine;
}

/// Numbers of ordinary size: with denormal ones a processor may take far longer.
at::Tensor drawn_operands(int64_t size, at::ScalarType dtype) {
  at::Tensor values = at::empty({2, size}, at::kDouble);
  RandomStream random(0, RandomPurpose::kTest);
  double* to = values.data_ptr<double>();
  for (int64_t i = 0; i < 2 * size; ++i) to[i] = random.uniform(-0.5, 0.5);
  return values.to(dtype);
}

/// One combination, with what its rounds have measured.
struct Setting {
  FloorResult result;
  std::unique_ptr<GemmFloor> floor;
  std::vector<double> milliseconds;
  std::vector<std::vector<double>> of_groups;  // [group][measurement]
};

void measure(Setting& setting, int64_t steps) {
  use_threads(setting.result.threads);
  GemmFloor& floor = *setting.floor;
  floor.run();  // caches and threads as this setting leaves them
  double sum = 0;
  std::vector<double> group_sums(floor.groups().size(), 0.0);
  for (int64_t step = 0; step < steps; ++step) {
    sum += floor.run();
    for (size_t g = 0; g < group_sums.size(); ++g) group_sums[g] += floor.group_milliseconds()[g];
  }
  setting.milliseconds.push_back(sum / static_cast<double>(steps));
  setting.of_groups.resize(group_sums.size());
  for (size_t g = 0; g < group_sums.size(); ++g) {
    setting.of_groups[g].push_back(group_sums[g] / static_cast<double>(steps));
  }
}

FloorResult finished(Setting& setting) {
  FloorResult& result = setting.result;
  const Times times = summarise_times(setting.milliseconds);
  result.ms_per_step = times.median;
  result.ms_fastest = times.fastest;
  result.ms_slowest = times.slowest;
  result.flops = setting.floor->flops();
  result.images_per_s = static_cast<double>(result.batch) * 1000.0 / times.median;
  result.gflop_per_s = result.flops / times.median / 1e6;
  result.products = setting.floor->groups();
  for (size_t g = 0; g < result.products.size(); ++g) {
    const ProductGroup& group = result.products[g];
    if (result.parts.empty() || result.parts.back().part != group.part) {
      result.parts.push_back({group.part, 0, 0});
    }
    result.parts.back().flops += group.flops();
    result.parts.back().ms += summarise_times(setting.of_groups[g]).median;
  }
  return std::move(result);
}

}  // namespace

GemmFloor::GemmFloor(std::vector<ProductGroup> groups, DType dtype)
    : groups_(std::move(groups)),
      largest_operand_(largest_matrix(groups_)),
      group_milliseconds_(groups_.size(), 0.0) {
  operands_ = drawn_operands(largest_operand_, scalar_type(dtype));
}

double GemmFloor::run() {
  const int64_t threads = at::get_num_threads();
  if (!results_.defined() || results_.size(0) < threads) {
    results_ = at::zeros({threads, largest_operand_}, operands_.options());
  }
  double sum = 0;
  AT_DISPATCH_FLOATING_TYPES(operands_.scalar_type(), "gemm_floor", [&] {
    const scalar_t* left = operands_.data_ptr<scalar_t>();
    const scalar_t* right = left + largest_operand_;
    scalar_t* results = results_.data_ptr<scalar_t>();
    for (size_t g = 0; g < groups_.size(); ++g) {
      const ProductGroup& group = groups_[g];
      group_milliseconds_[g] = milliseconds_of([&] {
        for_each_piece(group.tiles, [&](int64_t) {
          scalar_t* result = results + at::get_thread_num() * largest_operand_;
          for (const MatrixProduct& product : group.products) {
            blas_product(product, left, right, result);
          }
        });
      });
      sum += group_milliseconds_[g];
    }
  });
  return sum;
}

std::vector<FloorResult> bench_floor(const Config& base, const FloorRequest& request) {
  require_fitting_patch(base);
  std::vector<Setting> settings;
  for (const Variant variant : request.variants) {
    for (const BenchPhase phase : request.phases) {
      for (const int64_t batch : request.batches) {
        for (const int64_t threads : request.threads) {
          for (const DType dtype : request.dtypes) {
            for (const ProductForm form : request.forms) {
              Config config = base;
              config.variant = variant;
              Setting setting;
              setting.result.variant = to_string(variant);
              setting.result.phase = to_string(phase);
              setting.result.form = to_string(form);
              setting.result.dtype = to_string(dtype);
              setting.result.batch = batch;
              setting.result.threads = use_threads(threads);
              setting.floor =
                  std::make_unique<GemmFloor>(step_products(config, batch, phase, form), dtype);
              settings.push_back(std::move(setting));
            }
          }
        }
      }
    }
  }
  for (int64_t repeat = 0; repeat < request.repeats; ++repeat) {
    for (Setting& setting : settings) measure(setting, request.steps);
  }
  std::vector<FloorResult> results;
  for (Setting& setting : settings) results.push_back(finished(setting));
  return results;
}

}  // namespace cdsp
