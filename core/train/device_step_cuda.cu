#include "kernels/block_launch.cuh"
#include "train/log_step_blocks.h"
#include "train/reached_blocks.h"

namespace cdsp {

template void launch_grid(const LogStep<float>&);
template void launch_grid(const LogStep<double>&);
template void launch_grid(const ReachedParameters&);

}  // namespace cdsp
