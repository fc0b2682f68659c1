#include "kernels/block_launch.cuh"
#include "kernels/row_sums_blocks.h"

namespace cdsp {

template void launch_grid(const SumRows<float>&);
template void launch_grid(const SumRows<double>&);

}  // namespace cdsp
