// Declares exp so that loops over it become calls of glibc's vector maths library, where there is
// one.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
extern "C" {
__attribute__((simd("notinbranch"))) float expf(float) noexcept;
__attribute__((simd("notinbranch"))) double exp(double) noexcept;
}
#endif
