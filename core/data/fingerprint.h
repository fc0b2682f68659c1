// A fast fingerprint of data: tells two data sets apart, proves nothing against somebody who wants
// them to look alike.
//
// FNV-1a taken over little-endian 8-byte words instead of bytes, with the upper half folded into
// the lower after each step (plain FNV hardly mixes the top bits of a word). A rest of less than 8
// bytes is filled up with zeros, and every piece is preceded by its length, so that moving a byte
// from one piece to the next changes the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cdsp {

class Fingerprint {
 public:
  void add(const void* data, size_t bytes);
  void add(const std::string& text) { add(text.data(), text.size()); }
  void add(int64_t number) { mix(static_cast<uint64_t>(number)); }

  /// 16 hexadecimal digits.
  std::string text() const;

 private:
  void mix(uint64_t word) {
    state_ = (state_ ^ word) * 0x100000001b3u;
    state_ ^= state_ >> 32;
  }

  uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace cdsp
