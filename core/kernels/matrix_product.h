// Matrix products with operands of fewer bits, for the tensor cores of a GPU (train.precision):
//
//   full   operands as they are
//   tf32   float32 operands with 10 of their 23 bits of mantissa, sums in float32
//   bf16   operands and result in bfloat16 (7 bits of mantissa), sums in float32 (LibTorch's switch
//          for that does not reach batches of products)
//
// On a GPU this is cuBLAS. On the host the same roundings are made by hand before and after a
// float32 product, so that their errors can be measured where no GPU is; for tf32 the bits are cut
// off, the larger of the errors that the hardware may make.
#pragma once

#include <ATen/core/Tensor.h>

#include "config/config.h"

namespace cdsp {

/// a [n, m], b [m, p] -> [n, p], or batches of such: [B, n, m], [B, m, p] -> [B, n, p]. float32, or
/// any floating dtype with `full`. Not differentiated.
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b, Precision precision);

/// x [n, a], weight [b, a] -> x W^T [n, b]. Differentiable; the products of the backward pass have
/// the same precision.
at::Tensor projected(const at::Tensor& x, const at::Tensor& weight, Precision precision);

}  // namespace cdsp
