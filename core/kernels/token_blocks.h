// How the layers that work expert by expert cut their tokens: a block of tokens goes through all
// its experts together, so that what these read and give stays in the cache; neighbouring blocks
// add up one share of the weights' gradients. Cut by sizes alone, so that no sum depends on the
// number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/tile_sizes.h"
#include "kernels/work_queue.h"

namespace cdsp {

struct TokenBlock {
  int64_t begin, count;  // tokens
};

class TokenBlocks {
 public:
  TokenBlocks(int64_t tokens, int64_t top_k, int64_t experts) : tokens_(tokens) {
    if (tokens == 0) return;
    const int64_t wanted = std::max(pieces_of(tokens, kBlockTokens),
                                    std::min(kBlocksForThreads, pieces_of(tokens, kShortBlock)));
    length_ = pieces_of(tokens, wanted);
    count_ = pieces_of(tokens, length_);
    // A share of few tokens an expert would be written and added up for little.
    const int64_t shares = count_ * length_ * top_k / (experts * kShareTokens);
    blocks_of_share_ =
        pieces_of(count_, std::clamp(shares, std::min(kBlocksForThreads, count_), count_));
  }

  int64_t count() const { return count_; }
  /// The longest block's tokens.
  int64_t length() const { return length_; }
  int64_t shares() const { return count_ == 0 ? 0 : pieces_of(count_, blocks_of_share_); }

  /// body(block) for every block, on all threads.
  template <typename Body>
  void for_each(const Body& body) const {
    for_each_piece(count_, [&](int64_t block) { body(at(block)); });
  }

  /// body(share, block, is_first) for every block: the shares on all threads, the blocks of one in
  /// their order.
  template <typename Body>
  void for_each_of_share(const Body& body) const {
    for_each_piece(shares(), [&](int64_t share) {
      const int64_t begin = share * blocks_of_share_;
      const int64_t end = std::min(count_, begin + blocks_of_share_);
      for (int64_t block = begin; block < end; ++block) body(share, at(block), block == begin);
    });
  }

 private:
  TokenBlock at(int64_t block) const {
    const int64_t begin = block * length_;
    return {begin, std::min(length_, tokens_ - begin)};
  }

  int64_t tokens_, count_ = 0, length_ = 0, blocks_of_share_ = 1;
};

}  // namespace cdsp
