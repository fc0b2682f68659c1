#include "kernels/block_launch.cuh"
#include "kernels/normalise_and_route_blocks.h"

namespace cdsp {

template void launch_grid(const RouteForward<float>&);
template void launch_grid(const RouteForward<double>&);
template void launch_grid(const RouteBackward<float>&);
template void launch_grid(const RouteBackward<double>&);

}  // namespace cdsp
