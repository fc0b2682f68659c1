#include "support/draw.h"

#include <algorithm>

#include <ATen/ATen.h>

namespace cdsp::test {

at::Tensor Draw::normal(at::IntArrayRef shape) {
  const at::Tensor values = at::empty(shape, at::kDouble);
  std::generate_n(values.data_ptr<double>(), values.numel(), [this] { return random_.normal(); });
  return values;
}

at::Tensor Draw::uniform(at::IntArrayRef shape, double low, double high) {
  const at::Tensor values = at::empty(shape, at::kDouble);
  std::generate_n(values.data_ptr<double>(), values.numel(),
                  [=] { return random_.uniform(low, high); });
  return values;
}

at::Tensor Draw::bytes(at::IntArrayRef shape) {
  const at::Tensor values = at::empty(shape, at::kByte);
  std::generate_n(values.data_ptr<uint8_t>(), values.numel(),
                  [this] { return static_cast<uint8_t>(random_.below(256)); });
  return values;
}

int64_t Draw::between(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low + 1)));
}

std::vector<int64_t> Draw::subset(int64_t bound, int64_t size) {
  std::vector<int64_t> numbers = random_.permutation(bound);
  numbers.resize(static_cast<size_t>(size));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

IndexSets Draw::subsets(int64_t rows, int64_t bound, int64_t size) {
  IndexSets sets;
  for (int64_t row = 0; row < rows; ++row) sets.push_back(subset(bound, size));
  return sets;
}

at::Tensor Draw::choices(int64_t rows, int64_t bound, int64_t size) {
  const at::Tensor values = at::empty({rows, size}, at::kLong);
  auto entry = values.accessor<int64_t, 2>();
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<int64_t> order = random_.permutation(bound);
    for (int64_t slot = 0; slot < size; ++slot) entry[row][slot] = order[static_cast<size_t>(slot)];
  }
  return values;
}

at::Tensor Draw::weights_on(const at::Tensor& choices, int64_t bound) {
  const at::Tensor positive = uniform(choices.sizes(), 0.1, 1.0);
  return at::zeros({choices.size(0), bound}, at::kDouble)
      .scatter(1, choices, positive / positive.sum(1, /*keepdim=*/true));
}

at::Tensor mask_of(const IndexSets& sets, int64_t columns) {
  const at::Tensor mask = at::zeros({static_cast<int64_t>(sets.size()), columns}, at::kDouble);
  auto entry = mask.accessor<double, 2>();
  for (size_t row = 0; row < sets.size(); ++row) {
    for (const int64_t column : sets[row]) entry[static_cast<int64_t>(row)][column] = 1.0;
  }
  return mask;
}

}  // namespace cdsp::test
