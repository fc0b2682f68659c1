// Random numbers: the published generator, streams that do not disturb each other, fair draws.
#include "base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "support/catch.h"

using namespace cdsp;

namespace {

using Block = std::array<uint32_t, 4>;

RandomStream test_stream(uint64_t seed, uint64_t index = 0) {
  return RandomStream(seed, RandomPurpose::kTest, index);
}

std::vector<uint64_t> first_numbers(RandomStream stream, size_t count = 64) {
  std::vector<uint64_t> numbers(count);
  std::generate(numbers.begin(), numbers.end(), [&stream] { return stream.next_u64(); });
  return numbers;
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of its authors' Random123") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t kOnes = 0xffffffff;
  CHECK(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream is the blocks of its key with a rising counter, word after word") {
  RandomStream stream(0x0000000500000003, RandomPurpose::kTest, 9);
  const uint64_t name = 9 ^ (uint64_t{1000} << 40);
  const std::array<uint32_t, 2> key = {3, 5};
  for (uint32_t counter = 0; counter < 3; ++counter) {
    const Block block = philox4x32(
        {counter, 0, static_cast<uint32_t>(name), static_cast<uint32_t>(name >> 32)}, key);
    for (const uint32_t word : block) CHECK(stream.next_u32() == word);
  }
}

TEST_CASE("the same name gives the same numbers") {
  CHECK(first_numbers(test_stream(3, 7)) == first_numbers(test_stream(3, 7)));
}

TEST_CASE("another seed, purpose or index gives other numbers") {
  const std::set<std::vector<uint64_t>> streams = {
      first_numbers(test_stream(3, 7)),
      first_numbers(test_stream(4, 7)),
      first_numbers(test_stream(3 + (uint64_t{1} << 32), 7)),
      first_numbers(test_stream(3, 8)),
      first_numbers(test_stream(3, 7 + (uint64_t{1} << 39))),
      first_numbers(RandomStream(3, RandomPurpose::kDataOrder, 7)),
      first_numbers(RandomStream(3, RandomPurpose::kTaskDropout, 7)),
      first_numbers(RandomStream(3, RandomPurpose::kParameterInit, 7))};
  CHECK(streams.size() == 8);
}

TEST_CASE("drawing from one stream moves no other") {
  RandomStream a = test_stream(1, 0), b = test_stream(1, 1);
  const std::vector<uint64_t> expected = first_numbers(b);
  std::vector<uint64_t> found;
  for (int i = 0; i < 64; ++i) {
    a.permutation(5);
    a.normal();
    found.push_back(b.next_u64());
  }
  CHECK(found == expected);
}

TEST_CASE("uniform numbers lie in [0, 1) and fill it evenly") {
  RandomStream stream = test_stream(5);
  std::vector<int> bins(10, 0);
  for (int i = 0; i < 100000; ++i) {
    const double value = stream.uniform();
    REQUIRE(value >= 0.0);
    REQUIRE(value < 1.0);
    ++bins[static_cast<size_t>(value * 10.0)];
  }
  // 10,000 a bin with a standard deviation of 95.
  for (const int count : bins) CHECK(std::abs(count - 10000) < 5 * 95);
}

TEST_CASE("uniform numbers between two bounds stay between them") {
  RandomStream stream = test_stream(6), same = test_stream(6);
  for (int i = 0; i < 1000; ++i) {
    const double value = stream.uniform(-3.0, 5.0);
    REQUIRE(value == -3.0 + 8.0 * same.uniform());
    REQUIRE(value >= -3.0);
    REQUIRE(value < 5.0);
  }
}

TEST_CASE("below() draws every number under its bound equally often, and none else") {
  RandomStream stream = test_stream(7);
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70000; ++i) ++counts.at(stream.below(7));
  for (const int count : counts) CHECK(std::abs(count - 10000) < 5 * 93);
  for (int i = 0; i < 100; ++i) REQUIRE(stream.below(1) == 0);
}

TEST_CASE("below() keeps to bounds near 2^64 without bias") {
  // Taking 64 bits modulo 3 * 2^62 would hit the lowest third twice as often as the others.
  constexpr uint64_t kBound = uint64_t{3} << 62;
  RandomStream stream = test_stream(8);
  int low = 0;
  for (int i = 0; i < 30000; ++i) {
    const uint64_t value = stream.below(kBound);
    REQUIRE(value < kBound);
    if (value < kBound / 3) ++low;
  }
  CHECK(std::abs(low - 10000) < 5 * 82);
}

TEST_CASE("normal numbers have mean 0, variance 1, no skew and a kurtosis of 3") {
  RandomStream stream = test_stream(9);
  constexpr int kCount = 200000;
  double moments[4] = {};
  for (int i = 0; i < kCount; ++i) {
    double power = 1.0;
    const double value = stream.normal();
    for (double& moment : moments) moment += (power *= value) / kCount;
  }
  // Five standard errors of each moment's mean: sqrt(1, 2, 15, 96) / sqrt(200000).
  CHECK(std::abs(moments[0]) < 5 * 0.0022);
  CHECK(std::abs(moments[1] - 1.0) < 5 * 0.0032);
  CHECK(std::abs(moments[2]) < 5 * 0.0087);
  CHECK(std::abs(moments[3] - 3.0) < 5 * 0.022);
}

TEST_CASE("consecutive normal numbers are independent") {
  RandomStream stream = test_stream(10);
  double product = 0.0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) product += stream.normal() * stream.normal() / kCount;
  CHECK(std::abs(product) < 5 * 0.0032);
}

TEST_CASE("a permutation holds every number once") {
  for (const int64_t n : {0, 1, 2, 17, 1000}) {
    std::vector<int64_t> order = test_stream(11, static_cast<uint64_t>(n)).permutation(n);
    std::vector<int64_t> expected(static_cast<size_t>(n));
    std::iota(expected.begin(), expected.end(), 0);
    if (n > 10) CHECK(order != expected);
    std::sort(order.begin(), order.end());
    CHECK(order == expected);
  }
}

TEST_CASE("all permutations are equally likely") {
  RandomStream stream = test_stream(12);
  std::map<std::vector<int64_t>, int> counts;
  for (int i = 0; i < 24000; ++i) ++counts[stream.permutation(4)];
  CHECK(counts.size() == 24);
  for (const auto& [order, count] : counts) {
    INFO(order[0] << order[1] << order[2] << order[3]);
    CHECK(std::abs(count - 1000) < 5 * 31);
  }
}
