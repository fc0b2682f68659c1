// The topology and the conflict game written a second time from the specification's equations, with
// explicit index sets: no masks, no Gramian.
#pragma once

#include <ATen/core/Tensor.h>

#include "support/draw.h"

namespace cdsp::test {

/// I = sigma(A) Pi, [N, d_base], from alpha [N, N] (Eq. 2 and 4).
at::Tensor loop_control_force(const at::Tensor& alpha, int64_t d_base);

/// S_i: the `rank` largest entries of row i of I, the lowest column among equals (Eq. 5).
IndexSets loop_selection(const at::Tensor& alpha, int64_t d_base, int64_t rank);

/// s_i: the mean of the selected entries of row i of I (Eq. 8), [N].
at::Tensor loop_gate(const at::Tensor& alpha, int64_t d_base, const IndexSets& selection);

/// Cosine of the gradients of every two experts over the columns both selected (Eq. 14); 0 where
/// they share none. u [N, d, D] and v [N, D, d]; `with_v` takes U columns and V rows together.
at::Tensor loop_cosines(const at::Tensor& u, const at::Tensor& v, const IndexSets& selection,
                        bool with_v);

}  // namespace cdsp::test
