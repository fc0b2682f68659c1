#include "kernels/simd_loops.h"

namespace cdsp {

template <typename T>
const SimdLoops<T>& choose_simd_loops() {
#if defined(__x86_64__)
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512) return avx512_loops(T());
  if (has_avx2) return avx2_loops(T());
#endif
  return portable_loops(T());
}

template const SimdLoops<float>& choose_simd_loops<float>();
template const SimdLoops<double>& choose_simd_loops<double>();

}  // namespace cdsp
