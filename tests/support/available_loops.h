// Every instruction set's loops that this processor runs, so that the kernels a user's processor
// picks are tested on this one too.
#pragma once

#include <vector>

#include "kernels/simd_loops.h"

namespace cdsp::test {

template <typename T>
std::vector<const SimdLoops<T>*> available_loops() {
  std::vector<const SimdLoops<T>*> loops = {&portable_loops(T())};
#if defined(__x86_64__)
  if (simd_loops<T>().name != portable_loops(T()).name) loops.push_back(&avx2_loops(T()));
  if (simd_loops<T>().name == avx512_loops(T()).name) loops.push_back(&avx512_loops(T()));
#endif
  return loops;
}

}  // namespace cdsp::test
