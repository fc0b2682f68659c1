#include "kernels/block_launch.cuh"
#include "kernels/cdsp_layer_blocks.h"
#include "kernels/expert_gradients_blocks.h"

namespace cdsp {

template void launch_grid(const GatedHidden<float>&);
template void launch_grid(const GatedHidden<double>&);
template void launch_grid(const GatedHiddenBackward<float>&);
template void launch_grid(const GatedHiddenBackward<double>&);
template void launch_grid(const ExpertOuterSums<float>&);
template void launch_grid(const ExpertOuterSums<double>&);
template void launch_grid(const FinishExpertGradients<float>&);
template void launch_grid(const FinishExpertGradients<double>&);

}  // namespace cdsp
