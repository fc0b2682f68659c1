// MD5 (RFC 1321) and SHA-256 (FIPS 180-4), to compare downloaded files with published sums.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace cdsp {

/// What both have in common: blocks of 64 bytes, and at the end a one bit, zeros and the length in
/// bits.
class BlockDigest {
 public:
  virtual ~BlockDigest() = default;
  void update(const void* data, size_t bytes);

 protected:
  virtual void process(const uint8_t* block) = 0;
  void pad(bool big_endian_length);

 private:
  std::array<uint8_t, 64> block_{};
  uint64_t length_ = 0;  // bytes so far
};

class Md5 : public BlockDigest {
 public:
  /// 32 lower-case hexadecimal digits. Ends the digest: call it once.
  std::string finish();

 private:
  void process(const uint8_t* block) override;
  std::array<uint32_t, 4> state_ = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};
};

class Sha256 : public BlockDigest {
 public:
  /// 64 lower-case hexadecimal digits. Ends the digest: call it once.
  std::string finish();

 private:
  void process(const uint8_t* block) override;
  std::array<uint32_t, 8> state_ = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                    0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
};

struct FileDigests {
  std::string md5;
  std::string sha256;
};

/// Both sums of a file's bytes. Throws InputError if it cannot be read.
FileDigests digests_of_file(const std::filesystem::path& path);

/// MD5 of what a file holds: of the unpacked bytes if its name ends in .gz. Throws as ByteReader
/// does.
std::string md5_of_content(const std::filesystem::path& path);

}  // namespace cdsp
