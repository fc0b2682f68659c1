// How the fused CPU kernels of the mixture layers cut their tokens, and which form of the CDSP
// layer (kernels/cdsp_layer.h) multiplies less.
#pragma once

#include <cstdint>

namespace cdsp {

/// Tokens that a tile of the fused CPU kernels holds: its matrices fit the L1 and L2 caches.
inline constexpr int64_t kTileTokens = 64;

/// Tokens of one expert that share one sum of its weights' gradients. Fixed, so that the sums do
/// not depend on the number of threads.
inline constexpr int64_t kStretchTokens = 512;

/// Whether grouping tokens by expert pays, given `rank` selected columns of `d_base`. Measured: the
/// columns that the dense form multiplies (4 products of D and 2 of k r a token) cost it a little
/// less than those of the grouped form (6 of k r) cost that, which also moves rows.
inline bool grouping_pays(int64_t top_k, int64_t rank, int64_t d_base) {
  return top_k * rank <= d_base;
}

}  // namespace cdsp
