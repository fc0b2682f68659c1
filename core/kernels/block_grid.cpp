#include "kernels/block_grid.h"

namespace cdsp {

EmulationOrder& emulation_order() {
  thread_local EmulationOrder order = EmulationOrder::kAscending;
  return order;
}

}  // namespace cdsp
