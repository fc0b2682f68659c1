#include "kernels/block_launch.cuh"
#include "kernels/patch_embedding_blocks.h"

namespace cdsp {

template void launch_grid(const CutPatches<float>&);
template void launch_grid(const CutPatches<double>&);

}  // namespace cdsp
