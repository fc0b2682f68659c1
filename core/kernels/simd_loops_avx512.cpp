// The fused loops for x86-64 with AVX-512.
#include "kernels/simd_begin.h"
#include "kernels/simd_loops.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#define CDSP_SIMD simd_avx512
#define CDSP_SIMD_BYTES 64
#define CDSP_SIMD_REGISTERS 32
#include "kernels/simd_gemm.inl"
#include "kernels/simd_loops.inl"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace cdsp {

const SimdLoops<float>& avx512_loops(float) { return simd_avx512::table<float>("AVX-512"); }
const SimdLoops<double>& avx512_loops(double) { return simd_avx512::table<double>("AVX-512"); }

}  // namespace cdsp
#endif
