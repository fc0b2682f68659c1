#include "kernels/block_launch.cuh"
#include "kernels/expert_grouping_blocks.h"

namespace cdsp {

template void launch_grid(const CountPairs<float>&);
template void launch_grid(const CountPairs<double>&);
template void launch_grid(const CountPairsOfTiles&);
template void launch_grid(const PlacePairs<float>&);
template void launch_grid(const PlacePairs<double>&);

}  // namespace cdsp
