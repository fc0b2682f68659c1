// The fused loops for x86-64 with AVX2 and FMA.
#include "kernels/simd_begin.h"
#include "kernels/simd_loops.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define CDSP_SIMD simd_avx2
#define CDSP_SIMD_BYTES 32
#define CDSP_SIMD_REGISTERS 16
#include "kernels/simd_gemm.inl"
#include "kernels/simd_loops.inl"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace cdsp {

const SimdLoops<float>& avx2_loops(float) { return simd_avx2::table<float>("AVX2"); }
const SimdLoops<double>& avx2_loops(double) { return simd_avx2::table<double>("AVX2"); }

}  // namespace cdsp
#endif
