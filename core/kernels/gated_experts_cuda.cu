#include "kernels/block_launch.cuh"
#include "kernels/gated_experts_blocks.h"

namespace cdsp {

template void launch_grid(const GatedExperts<float, true>&);
template void launch_grid(const GatedExperts<float, false>&);
template void launch_grid(const GatedExperts<double, true>&);
template void launch_grid(const GatedExperts<double, false>&);
template void launch_grid(const GatedExpertsBackward<float, true>&);
template void launch_grid(const GatedExpertsBackward<float, false>&);
template void launch_grid(const GatedExpertsBackward<double, true>&);
template void launch_grid(const GatedExpertsBackward<double, false>&);

}  // namespace cdsp
