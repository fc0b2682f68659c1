#include "kernels/block_launch.cuh"
#include "train/log_step_blocks.h"
#include "train/objective_blocks.h"
#include "train/reached_blocks.h"

namespace cdsp {

template void launch_grid(const SwitchBalance<float>&);
template void launch_grid(const SwitchBalance<double>&);
template void launch_grid(const VariationBalance<float>&);
template void launch_grid(const VariationBalance<double>&);
template void launch_grid(const SumObjective<float>&);
template void launch_grid(const SumObjective<double>&);
template void launch_grid(const LogStep<float>&);
template void launch_grid(const LogStep<double>&);
template void launch_grid(const ReachedParameters&);

}  // namespace cdsp
