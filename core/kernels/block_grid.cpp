#include "kernels/block_grid.h"

namespace cdsp {

GridObserver*& grid_observer() {
  thread_local GridObserver* observer = nullptr;
  return observer;
}

GridStandIn*& grid_stand_in() {
  static GridStandIn* stand_in = nullptr;
  return stand_in;
}

EmulationOrder& emulation_order() {
  thread_local EmulationOrder order = EmulationOrder::kAscending;
  return order;
}

}  // namespace cdsp
