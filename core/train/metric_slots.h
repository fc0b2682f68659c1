// The places of a step's numbers in its vector (metrics.h).
#pragma once

#include <cstdint>

namespace cdsp {

/// Where each number stands in the vector of one step, float64 [kScalars + 3 * tasks].
namespace metric_slot {
enum : int64_t {
  kLossTotal,
  kLossTask,
  kLossConflict,
  kLossReg,
  kLossBalance,
  kGradNorm,
  kAlphaSparsity,
  kStructuralEntropy,
  kScalars
};
}  // namespace metric_slot

}  // namespace cdsp
