#include "kernels/block_launch.cuh"
#include "kernels/clipped_adamw_blocks.h"

namespace cdsp {

template void launch_grid(const SquareSums<float>&);
template void launch_grid(const SquareSums<double>&);
template void launch_grid(const UpdateNumbers<float>&);
template void launch_grid(const UpdateNumbers<double>&);
template void launch_grid(const CountUpdates<float>&);
template void launch_grid(const CountUpdates<double>&);

}  // namespace cdsp
