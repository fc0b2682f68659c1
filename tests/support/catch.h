#pragma once

// Catch2 v3, or v2 where the system has that one (Debian 12, Ubuntu 22.04). Write tests in what
// both share; Catch::Approx and Catch::Matchers::ContainsSubstring are made to exist in both.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>

namespace Catch {
using Detail::Approx;

namespace Matchers {
inline auto ContainsSubstring(const std::string& text) { return Contains(text); }
}  // namespace Matchers
}  // namespace Catch
#endif
