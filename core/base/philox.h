// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter
// and a key give four random words, on the host and in a GPU's kernels alike.
//
// A RandomStream (base/random.h) is the blocks counter = (n, n >> 32, name, name >> 32) for n = 0,
// 1, ...: whoever knows seed, name and place of a draw computes it without those before it.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace cdsp {

struct PhiloxBlock {
  uint32_t word[4];
};

CDSP_HOST_DEVICE PhiloxBlock philox_block(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53u;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u;
  constexpr uint32_t kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter.word[0];
    const uint64_t product1 = kMultiplier1 * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return counter;
}

/// Uniform on [0, 1) from 64 random bits: the upper 53 of them.
CDSP_HOST_DEVICE double uniform_of_bits(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// What a stream is called, of purpose and index: 2^40 indices a purpose leave 24 bits for it.
CDSP_HOST_DEVICE uint64_t stream_name(uint32_t purpose, uint64_t index) {
  return index ^ (static_cast<uint64_t>(purpose) << 40);
}

/// The number that call `number` (counted from 0) of RandomStream::uniform() gives, if nothing else
/// is drawn from the stream.
CDSP_HOST_DEVICE double uniform_at(uint64_t seed, uint64_t name, uint64_t number) {
  const uint64_t block = number / 2;  // two numbers of 64 bits each
  const PhiloxBlock words =
      philox_block({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                     static_cast<uint32_t>(name), static_cast<uint32_t>(name >> 32)}},
                   static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  const bool second = number % 2 == 1;
  const uint64_t high = second ? words.word[2] : words.word[0];
  return uniform_of_bits((high << 32) | (second ? words.word[3] : words.word[1]));
}

}  // namespace cdsp
