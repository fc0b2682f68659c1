#include "kernels/block_launch.cuh"
#include "kernels/top_k_routing_blocks.h"

namespace cdsp {

template void launch_grid(const TopKForward<float>&);
template void launch_grid(const TopKForward<double>&);
template void launch_grid(const TopKBackward<float>&);
template void launch_grid(const TopKBackward<double>&);

}  // namespace cdsp
