// How the fused CPU kernels of the mixture layers cut their tokens, and which form of the CDSP
// layer (kernels/cdsp_layer.h) multiplies less.
#pragma once

#include <cstdint>

namespace cdsp {

/// Tokens that a tile of the fused CPU kernels holds: its matrices fit the L1 and L2 caches.
inline constexpr int64_t kTileTokens = 64;

/// Tokens that go through all their experts together where nothing is kept for a backward pass:
/// at the paper's sizes their inputs and outputs fit the L2 cache.
inline constexpr int64_t kBlockTokens = 384;

/// Tokens of one expert that share one sum of its weights' gradients. Fixed, so that the sums do
/// not depend on the number of threads.
inline constexpr int64_t kStretchTokens = 512;

/// Whether grouping tokens by expert pays, given `rank` selected columns of `d_base`: up to k r
/// = 1.1 D, as measured (docs/performance.md). By the columns alone, 4 products of D and 2 of k r a
/// token against 6 of k r, it would be k r = D; but the dense form gathers for its 2, the grouped
/// form gathers once.
inline bool grouping_pays(int64_t top_k, int64_t rank, int64_t d_base) {
  return 10 * top_k * rank <= 11 * d_base;
}

}  // namespace cdsp
