#include "kernels/block_launch.cuh"
#include "kernels/rotary_attention_blocks.h"
#include "kernels/rotary_attention_short_blocks.h"

namespace cdsp {

#define CDSP_ATTENTION_PROGRAMS(T, kHead)                               \
  template void launch_grid(const AttentionForward<T, kHead>&);         \
  template void launch_grid(const AttentionBackwardQueries<T, kHead>&); \
  template void launch_grid(const AttentionBackwardKeys<T, kHead>&);

CDSP_ATTENTION_PROGRAMS(float, 16)
CDSP_ATTENTION_PROGRAMS(float, 32)
CDSP_ATTENTION_PROGRAMS(float, 64)
CDSP_ATTENTION_PROGRAMS(float, 128)
CDSP_ATTENTION_PROGRAMS(double, 16)
CDSP_ATTENTION_PROGRAMS(double, 32)
CDSP_ATTENTION_PROGRAMS(double, 64)
CDSP_ATTENTION_PROGRAMS(double, 128)

template void launch_grid(const AttentionBackwardShort<float>&);
template void launch_grid(const AttentionBackwardShort<double>&);

}  // namespace cdsp
