#include "kernels/block_launch.cuh"
#include "kernels/normalise_and_route_backward_blocks.h"
#include "kernels/normalise_and_route_blocks.h"

namespace cdsp {

template void launch_grid(const ImageStatistics<float>&);
template void launch_grid(const ImageStatistics<double>&);
template void launch_grid(const RouteForward<float, false>&);
template void launch_grid(const RouteForward<float, true>&);
template void launch_grid(const RouteForward<double, false>&);
template void launch_grid(const RouteForward<double, true>&);
template void launch_grid(const ChooseExperts<float>&);
template void launch_grid(const ChooseExperts<double>&);
template void launch_grid(const ImagePull<float>&);
template void launch_grid(const ImagePull<double>&);
template void launch_grid(const RouteBackward<float, false>&);
template void launch_grid(const RouteBackward<float, true>&);
template void launch_grid(const RouteBackward<double, false>&);
template void launch_grid(const RouteBackward<double, true>&);

}  // namespace cdsp
