#include "kernels/block_launch.cuh"
#include "kernels/expert_gradients_blocks.h"

namespace cdsp {

template void launch_grid(const ExpertOuterSums<float>&);
template void launch_grid(const ExpertOuterSums<double>&);
template void launch_grid(const FinishExpertSums<float>&);
template void launch_grid(const FinishExpertSums<double>&);

}  // namespace cdsp
