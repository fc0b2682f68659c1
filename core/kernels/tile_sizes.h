// How the fused CPU kernels of the mixture layers cut their tokens, and which form of the CDSP
// layer (kernels/cdsp_layer.h) multiplies less.
#pragma once

#include <cstdint>

namespace cdsp {

/// Tokens that a tile of the fused CPU kernels holds: its matrices fit the L1 and L2 caches.
inline constexpr int64_t kTileTokens = 64;

/// Tokens of a tile when `tokens` (at least one) of an expert are cut into as few tiles as
/// possible, all but the last one equal: a short one would go through the weights and their
/// gradients for little.
inline int64_t even_tile_rows(int64_t tokens) {
  const int64_t tiles = (tokens + kTileTokens - 1) / kTileTokens;
  return (tokens + tiles - 1) / tiles;
}

/// Tokens, at most, that go through all their experts together: sixteen of the paper's images. At
/// the paper's sizes their inputs and outputs fit an L2 cache of 2 MB beside the experts' weights.
inline constexpr int64_t kBlockTokens = 784;

/// Few tokens are cut into this many blocks, so that some threads have work, unless blocks would
/// get shorter than kShortBlock.
inline constexpr int64_t kBlocksForThreads = 4, kShortBlock = 196;

/// Tokens of an expert, on average, that one share of its weights' gradients is worth.
inline constexpr int64_t kShareTokens = 96;

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
