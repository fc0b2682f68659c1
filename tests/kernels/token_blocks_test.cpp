// How tokens are cut into blocks, and blocks into shares of the weights' gradients.
#include "kernels/token_blocks.h"

#include <mutex>
#include <vector>

#include "support/catch.h"

using namespace cdsp;

namespace {

struct Visit {
  int64_t share;
  TokenBlock block;
  bool is_first;
};

std::vector<Visit> visits(const TokenBlocks& blocks) {
  std::vector<Visit> seen;
  std::mutex lock;
  blocks.for_each_of_share([&](int64_t share, const TokenBlock& block, bool is_first) {
    const std::lock_guard guard(lock);
    seen.push_back({share, block, is_first});
  });
  return seen;
}

}  // namespace

TEST_CASE("every token is in one block, and a share takes its blocks in their order") {
  for (const int64_t experts : {1, 8, 64}) {
    for (const int64_t tokens : {1, 49, 195, 196, 197, 784, 833, 6272, 6273, 50176}) {
      const TokenBlocks blocks(tokens, 2, experts);
      INFO(tokens << " tokens, " << experts << " experts");
      CHECK(blocks.length() <= kBlockTokens);
      std::vector<int> times(static_cast<size_t>(tokens), 0);
      std::vector<int64_t> end_of_share(static_cast<size_t>(blocks.shares()), -1);
      for (const Visit& visit : visits(blocks)) {
        for (int64_t t = 0; t < visit.block.count; ++t)
          ++times[static_cast<size_t>(visit.block.begin + t)];
        int64_t& end = end_of_share[static_cast<size_t>(visit.share)];
        CHECK(visit.is_first == (end == -1));
        if (!visit.is_first) CHECK(visit.block.begin == end);
        end = visit.block.begin + visit.block.count;
      }
      for (const int count : times) REQUIRE(count == 1);
      for (const int64_t end : end_of_share) CHECK(end != -1);
      int64_t visited = 0;
      std::mutex lock;
      blocks.for_each([&](const TokenBlock& block) {
        const std::lock_guard guard(lock);
        visited += block.count;
      });
      CHECK(visited == tokens);
    }
  }
}

TEST_CASE("few tokens still make work for several threads, many experts few shares") {
  const auto cut = [](int64_t images, int64_t experts) {
    const TokenBlocks blocks(images * 49, 2, experts);
    return std::pair{blocks.count(), blocks.shares()};
  };
  CHECK(cut(1, 8) == std::pair<int64_t, int64_t>{1, 1});
  CHECK(cut(16, 8) == std::pair<int64_t, int64_t>{4, 4});
  CHECK(cut(64, 8) == std::pair<int64_t, int64_t>{4, 4});
  CHECK(cut(128, 8) == std::pair<int64_t, int64_t>{8, 8});
  CHECK(cut(128, 64) == std::pair<int64_t, int64_t>{8, 4});
  const TokenBlocks none(0, 2, 8);
  CHECK((none.count() == 0 && none.shares() == 0));
  CHECK(visits(none).empty());
}
