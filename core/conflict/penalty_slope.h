// The conflict penalty of one link and its derivative (penalty.h), for loops and block programs.
#pragma once

#include "base/host_device.h"
#include "config/config.h"

namespace cdsp {

/// Where `gated_logit` begins to push.
inline constexpr double kPenaltyGate = 1e-3;

template <typename T>
struct ValueAndSlope {
  T value, slope;
};

/// f of penalty_of() and its derivative; strength is sigma(logit).
template <typename T>
CDSP_HOST_DEVICE ValueAndSlope<T> penalty_at(T logit, T strength, ConflictPenalty penalty) {
  switch (penalty) {
    case ConflictPenalty::kLogit:
      return {logit, T(1)};
    case ConflictPenalty::kGatedLogit:
      if (logit >= static_cast<T>(kPenaltyGate)) return {logit, T(1)};
      return {T(0), T(0)};
    case ConflictPenalty::kSigmoid:
      break;
  }
  return {strength, strength * (T(1) - strength)};
}

}  // namespace cdsp
