// How the layers that work expert by expert cut their tokens: a block of tokens goes through all
// its experts together, so that what these read and give stays in the cache, and adds up its own
// share of the weights' gradients.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/tile_sizes.h"
#include "kernels/work_queue.h"

namespace cdsp {

struct TokenBlock {
  int64_t begin, count;  // tokens
};

inline int64_t blocks_of(int64_t tokens) { return pieces_of(tokens, kBlockTokens); }

/// body(i, block) for every block, on all threads.
template <typename Body>
void for_each_block(int64_t tokens, const Body& body) {
  for_each_piece(blocks_of(tokens), [&](int64_t i) {
    const int64_t begin = i * kBlockTokens;
    body(i, TokenBlock{begin, std::min(kBlockTokens, tokens - begin)});
  });
}

}  // namespace cdsp
