// What counts the steps in their device form.
#pragma once

#include <cstdint>

namespace cdsp {

/// Places in the counters of a step, int64 [kCounters] on the device.
namespace step_counter {
enum : int64_t {
  kStep,    // number of the step at hand, from 1: names its dropout stream
  kBegin,   // its first place in the epoch's order
  kLogRow,  // its row in the log of metrics
  kCounters
};
}  // namespace step_counter

}  // namespace cdsp
