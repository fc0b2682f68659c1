#include "kernels/block_grid.h"

namespace cdsp {

GridObserver*& grid_observer() {
  thread_local GridObserver* observer = nullptr;
  return observer;
}

EmulationOrder& emulation_order() {
  thread_local EmulationOrder order = EmulationOrder::kAscending;
  return order;
}

}  // namespace cdsp
