#include "kernels/block_launch.cuh"
#include "kernels/normalise_and_route_backward_blocks.h"
#include "kernels/normalise_and_route_blocks.h"

namespace cdsp {

template void launch_grid(const ImageStatistics<float>&);
template void launch_grid(const ImageStatistics<double>&);
template void launch_grid(const RouteForward<float>&);
template void launch_grid(const RouteForward<double>&);
template void launch_grid(const ChooseExperts<float>&);
template void launch_grid(const ChooseExperts<double>&);
template void launch_grid(const ImagePull<float>&);
template void launch_grid(const ImagePull<double>&);
template void launch_grid(const RouteBackward<float>&);
template void launch_grid(const RouteBackward<double>&);

}  // namespace cdsp
