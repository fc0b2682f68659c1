// The fused loops for any processor.
#include "kernels/simd_begin.h"
#include "kernels/simd_loops.h"

#define CDSP_SIMD simd_portable
#define CDSP_SIMD_BYTES 16
#if defined(__aarch64__)
#define CDSP_SIMD_REGISTERS 32
#else
#define CDSP_SIMD_REGISTERS 16
#endif
#include "kernels/simd_gemm.inl"
#include "kernels/simd_loops.inl"

namespace cdsp {

const SimdLoops<float>& portable_loops(float) { return simd_portable::table<float>("portable"); }
const SimdLoops<double>& portable_loops(double) { return simd_portable::table<double>("portable"); }

}  // namespace cdsp
