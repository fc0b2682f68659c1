// How the fused CPU kernels of the mixture layers cut their tokens, and which form of the CDSP
// layer (kernels/cdsp_layer.h) multiplies less.
#pragma once

#include <cstdint>

namespace cdsp {

/// Tokens that a tile of the fused CPU kernels holds: its matrices fit the L1 and L2 caches.
inline constexpr int64_t kTileTokens = 64;

/// Tokens of a tile when `tokens` (at least one) of an expert are cut into as few and as equal
/// tiles as possible: a short one at the end would go through the weights and their gradients for
/// little.
inline int64_t even_tile_rows(int64_t tokens) {
  const int64_t tiles = (tokens + kTileTokens - 1) / kTileTokens;
  return (tokens + tiles - 1) / tiles;
}

/// Tokens that go through all their experts together, and whose weights' gradients share one sum:
/// sixteen of the paper's images. Their inputs and outputs fit the L2 cache beside the experts'
/// weights. Fixed, so that the sums do not depend on the number of threads.
inline constexpr int64_t kBlockTokens = 784;

/// Tokens of one expert that share one sum of its weights' gradients in the dense form. Fixed, so
/// that the sums do not depend on the number of threads.
inline constexpr int64_t kStretchTokens = 512;

/// Whether grouping tokens by expert pays, given `rank` selected columns of `d_base`: up to k r
/// = 1.1 D, as measured (docs/performance.md). By the columns alone, 4 products of D and 2 of k r a
/// token against 6 of k r, it would be k r = D; but the dense form gathers for its 2, the grouped
/// form gathers once.
inline bool grouping_pays(int64_t top_k, int64_t rank, int64_t d_base) {
  return 10 * top_k * rank <= 11 * d_base;
}

}  // namespace cdsp
