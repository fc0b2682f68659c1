// Measures of a topology on the host (spec section 10); sparsity and entropy stand in
// model/topology.h.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace cdsp {

/// sigma(A) as rows of doubles.
std::vector<std::vector<double>> link_strengths(const at::Tensor& alpha);

/// |S_i and S_j| / r for every pair of experts, [N][N]; the diagonal is 1.
std::vector<std::vector<double>> rank_overlap(const at::Tensor& alpha, int64_t d_base,
                                              int64_t rank);

/// A matrix [rows, cols] as rows of doubles.
std::vector<std::vector<double>> rows_of(const at::Tensor& matrix);

}  // namespace cdsp
