// Random test inputs from a named stream: the same numbers on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "base/random.h"

namespace cdsp::test {

/// Sorted sets of column or expert numbers, one a row.
using IndexSets = std::vector<std::vector<int64_t>>;

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed, RandomPurpose::kTest) {}

  at::Tensor normal(at::IntArrayRef shape);                            // float64, N(0, 1)
  at::Tensor uniform(at::IntArrayRef shape, double low, double high);  // float64
  at::Tensor bytes(at::IntArrayRef shape);                             // uint8
  int64_t between(int64_t low, int64_t high);                          // both included
  /// `size` different numbers below `bound`, in rising order.
  std::vector<int64_t> subset(int64_t bound, int64_t size);
  IndexSets subsets(int64_t rows, int64_t bound, int64_t size);
  /// `size` different numbers below `bound` for every row, in random order: int64 [rows, size].
  at::Tensor choices(int64_t rows, int64_t bound, int64_t size);
  /// Positive router weights [rows, bound] that sum to 1 over the row's choices and are 0
  /// elsewhere.
  at::Tensor weights_on(const at::Tensor& choices, int64_t bound);

 private:
  RandomStream random_;
};

/// 0/1 masks [rows, columns] in float64 of column sets.
at::Tensor mask_of(const IndexSets& sets, int64_t columns);

}  // namespace cdsp::test
