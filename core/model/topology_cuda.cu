#include "kernels/block_launch.cuh"
#include "model/topology_blocks.h"
#include "model/topology_numbers_blocks.h"

namespace cdsp {

template void launch_grid(const SelectTopology<float>&);
template void launch_grid(const SelectTopology<double>&);
template void launch_grid(const TopologyNumbersProgram<float>&);
template void launch_grid(const TopologyNumbersProgram<double>&);

}  // namespace cdsp
