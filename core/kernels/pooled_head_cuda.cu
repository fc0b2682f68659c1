#include "kernels/block_launch.cuh"
#include "kernels/pooled_head_blocks.h"

namespace cdsp {

template void launch_grid(const PooledHeadForward<float>&);
template void launch_grid(const PooledHeadForward<double>&);
template void launch_grid(const PooledHeadBackward<float>&);
template void launch_grid(const PooledHeadBackward<double>&);

}  // namespace cdsp
