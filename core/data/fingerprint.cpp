#include "data/fingerprint.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace cdsp {
namespace {

uint64_t little_endian(const uint8_t* bytes) {
  uint64_t word = 0;
  for (int i = 7; i >= 0; --i) word = word << 8 | bytes[i];  // compilers make one load of it
  return word;
}

}  // namespace

void Fingerprint::add(const void* data, size_t bytes) {
  mix(bytes);
  const auto* next = static_cast<const uint8_t*>(data);
  for (; bytes >= 8; bytes -= 8, next += 8) mix(little_endian(next));
  if (bytes == 0) return;
  std::array<uint8_t, 8> rest{};
  std::memcpy(rest.data(), next, bytes);
  mix(little_endian(rest.data()));
}

std::string Fingerprint::text() const {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, state_);
  return digits.data();
}

}  // namespace cdsp
