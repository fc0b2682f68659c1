#include "kernels/block_launch.cuh"
#include "kernels/rms_norm_blocks.h"

namespace cdsp {

template void launch_grid(const RmsNormForward<float>&);
template void launch_grid(const RmsNormForward<double>&);
template void launch_grid(const RmsNormBackward<float>&);
template void launch_grid(const RmsNormBackward<double>&);

}  // namespace cdsp
