// The constants of clipping and AdamW that no config changes, for every engine the same.
#pragma once

namespace cdsp::adamw_constant {

inline constexpr double kBeta1 = 0.9;  // of the first moment
inline constexpr double kBeta2 = 0.999;
inline constexpr double kEpsilon = 1e-8;      // beside sqrt(v)
inline constexpr double kClipEpsilon = 1e-6;  // beside the gradient's norm

}  // namespace cdsp::adamw_constant
