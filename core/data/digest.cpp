#include "data/digest.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "data/byte_reader.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr size_t kChunk = size_t{1} << 17;

uint32_t rotated_left(uint32_t value, uint32_t bits) {
  return value << bits | value >> (32 - bits);
}
uint32_t rotated_right(uint32_t value, uint32_t bits) {
  return value >> bits | value << (32 - bits);
}

/// floor(2^32 |sin(i + 1)|), the constants of RFC 1321.
std::array<uint32_t, 64> sine_table() {
  std::array<uint32_t, 64> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<uint32_t>(
        std::floor(std::fabs(std::sin(static_cast<double>(i + 1))) * 4294967296.0));
  }
  return table;
}

constexpr std::array<uint32_t, 64> kSha256Constants = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u};

void append_byte(std::string& text, uint32_t byte) {
  constexpr const char* kDigits = "0123456789abcdef";
  text += kDigits[byte >> 4 & 15u];
  text += kDigits[byte & 15u];
}

}  // namespace

void BlockDigest::update(const void* data, size_t bytes) {
  const auto* next = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const size_t filled = length_ % 64;
    const size_t taken = std::min(bytes, 64 - filled);
    std::memcpy(block_.data() + filled, next, taken);
    length_ += taken;
    next += taken;
    bytes -= taken;
    if (length_ % 64 == 0) process(block_.data());
  }
}

void BlockDigest::pad(bool big_endian_length) {
  const uint64_t bits = length_ * 8;
  const uint8_t one = 0x80, zero = 0;
  update(&one, 1);
  while (length_ % 64 != 56) update(&zero, 1);
  for (uint32_t i = 0; i < 8; ++i) {
    const auto byte = static_cast<uint8_t>(bits >> 8 * (big_endian_length ? 7 - i : i));
    update(&byte, 1);
  }
}

void Md5::process(const uint8_t* block) {
  static const std::array<uint32_t, 64> sines = sine_table();
  constexpr uint32_t kShifts[4][4] = {
      {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  std::array<uint32_t, 16> words{};
  for (size_t i = 0; i < 64; ++i) words[i / 4] |= static_cast<uint32_t>(block[i]) << 8 * (i % 4);
  auto [a, b, c, d] = state_;
  for (uint32_t i = 0; i < 64; ++i) {
    uint32_t mixed = 0, word = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d), word = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c), word = (5 * i + 1) % 16;
        break;
      case 2:
        mixed = b ^ c ^ d, word = (3 * i + 5) % 16;
        break;
      default:
        mixed = c ^ (b | ~d), word = 7 * i % 16;
        break;
    }
    const uint32_t sum = a + mixed + sines[i] + words[word];
    a = d;
    d = c;
    c = b;
    b += rotated_left(sum, kShifts[i / 16][i % 4]);
  }
  state_[0] += a;
  state_[1] += b;
  state_[2] += c;
  state_[3] += d;
}

std::string Md5::finish() {
  pad(/*big_endian_length=*/false);
  std::string text;
  for (const uint32_t word : state_) {
    for (uint32_t i = 0; i < 4; ++i) append_byte(text, word >> 8 * i & 255u);
  }
  return text;
}

void Sha256::process(const uint8_t* block) {
  std::array<uint32_t, 64> words{};
  for (size_t i = 0; i < 64; ++i)
    words[i / 4] |= static_cast<uint32_t>(block[i]) << 8 * (3 - i % 4);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t early = words[i - 15], late = words[i - 2];
    words[i] = words[i - 16] + (rotated_right(early, 7) ^ rotated_right(early, 18) ^ early >> 3) +
               words[i - 7] + (rotated_right(late, 17) ^ rotated_right(late, 19) ^ late >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t first = h + (rotated_right(e, 6) ^ rotated_right(e, 11) ^ rotated_right(e, 25)) +
                           ((e & f) ^ (~e & g)) + kSha256Constants[i] + words[i];
    const uint32_t second = (rotated_right(a, 2) ^ rotated_right(a, 13) ^ rotated_right(a, 22)) +
                            ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < added.size(); ++i) state_[i] += added[i];
}

std::string Sha256::finish() {
  pad(/*big_endian_length=*/true);
  std::string text;
  for (const uint32_t word : state_) {
    for (uint32_t i = 0; i < 4; ++i) append_byte(text, word >> 8 * (3 - i) & 255u);
  }
  return text;
}

FileDigests digests_of_file(const fs::path& path) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file)
    throw InputError(path.string() + ": cannot be opened for reading: " + std::strerror(errno));
  std::vector<uint8_t> chunk(kChunk);
  Md5 md5;
  Sha256 sha256;
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    md5.update(chunk.data(), got);
    sha256.update(chunk.data(), got);
  }
  if (std::ferror(file.get()) != 0)
    throw InputError(path.string() + ": cannot be read: " + std::strerror(errno));
  return {md5.finish(), sha256.finish()};
}

std::string md5_of_content(const fs::path& path) {
  ByteReader reader(path);
  std::vector<uint8_t> chunk(kChunk);
  Md5 md5;
  while (const size_t got = reader.read(chunk.data(), chunk.size())) md5.update(chunk.data(), got);
  return md5.finish();
}

}  // namespace cdsp
