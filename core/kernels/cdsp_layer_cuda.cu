#include "kernels/block_launch.cuh"
#include "kernels/cdsp_layer_blocks.h"
#include "kernels/standard_experts_blocks.h"

namespace cdsp {

template void launch_grid(const GatedHidden<float>&);
template void launch_grid(const GatedHidden<double>&);
template void launch_grid(const GatedHiddenBackward<float>&);
template void launch_grid(const GatedHiddenBackward<double>&);
template void launch_grid(const AddOutputBiases<float>&);
template void launch_grid(const AddOutputBiases<double>&);

}  // namespace cdsp
