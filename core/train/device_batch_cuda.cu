#include "kernels/block_launch.cuh"
#include "train/device_batch_blocks.h"

namespace cdsp {

template void launch_grid(const MakeBatch<float>&);
template void launch_grid(const MakeBatch<double>&);

}  // namespace cdsp
