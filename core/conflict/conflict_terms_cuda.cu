#include "conflict/conflict_terms_blocks.h"
#include "kernels/block_launch.cuh"

namespace cdsp {

template void launch_grid(const ConflictTerms<float>&);
template void launch_grid(const ConflictTerms<double>&);

}  // namespace cdsp
