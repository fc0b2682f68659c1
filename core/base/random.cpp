#include "base/random.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "base/philox.h"

namespace cdsp {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  const PhiloxBlock block =
      philox_block({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  return {block.word[0], block.word[1], block.word[2], block.word[3]};
}

RandomStream::RandomStream(uint64_t seed, RandomPurpose purpose, uint64_t index)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {
  // Two streams can meet only after 2^64 blocks of one of them.
  const uint64_t name = stream_name(static_cast<uint32_t>(purpose), index);
  counter_ = {0, 0, static_cast<uint32_t>(name), static_cast<uint32_t>(name >> 32)};
}

void RandomStream::refill() {
  block_ = philox4x32(counter_, key_);
  if (++counter_[0] == 0) ++counter_[1];
  used_ = 0;
}

uint32_t RandomStream::next_u32() {
  if (used_ == 4) refill();
  return block_[static_cast<size_t>(used_++)];
}

uint64_t RandomStream::next_u64() {
  const uint64_t high = next_u32();
  return (high << 32) | next_u32();
}

double RandomStream::uniform() { return uniform_of_bits(next_u64()); }

uint64_t RandomStream::below(uint64_t bound) {
  const uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
  uint64_t draw = next_u64();
  while (draw < rejected) draw = next_u64();
  return draw % bound;
}

double RandomStream::normal() {
  if (has_spare_normal_) {
    has_spare_normal_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  const double angle = 6.283185307179586476925286766559 * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_normal_ = true;
  return radius * std::cos(angle);
}

std::vector<int64_t> RandomStream::permutation(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  return order;
}

}  // namespace cdsp
