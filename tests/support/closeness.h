// How far two tensors are apart.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp::test {

/// max |found - expected| / max |expected| (max |found - expected| where all of `expected` is 0),
/// in float64; infinite if the shapes differ, NaN if one holds a NaN.
double relative_error(const at::Tensor& found, const at::Tensor& expected);
double relative_error(const std::vector<double>& found, const std::vector<double>& expected);

/// Equal in shape, dtype and every bit, NaNs included.
bool same_bytes(const at::Tensor& a, const at::Tensor& b);

}  // namespace cdsp::test
