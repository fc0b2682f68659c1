#include "kernels/block_launch.cuh"
#include "train/objective_blocks.h"

namespace cdsp {

template void launch_grid(const SwitchBalance<float>&);
template void launch_grid(const SwitchBalance<double>&);
template void launch_grid(const VariationBalance<float>&);
template void launch_grid(const VariationBalance<double>&);
template void launch_grid(const SumObjective<float>&);
template void launch_grid(const SumObjective<double>&);

}  // namespace cdsp
