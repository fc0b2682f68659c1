#include "conflict/lagged_signal_blocks.h"
#include "kernels/block_launch.cuh"

namespace cdsp {

template void launch_grid(const LaggedSignalParts<float>&);
template void launch_grid(const LaggedSignalParts<double>&);
template void launch_grid(const LaggedSignal<float>&);
template void launch_grid(const LaggedSignal<double>&);

}  // namespace cdsp
