// Seeded, counter-based random streams: Philox4x32-10 (Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011).
//
// A stream is named by (seed, purpose, index). Streams never share state: drawing more from one
// (turning dropout on, logging more often) moves no other. The same name gives the same numbers on
// every machine, compiler, LibTorch version and device, because every distribution below is defined
// here, in double.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cdsp {

/// What a stream is for; part of its name. Append only: a number once used keeps its meaning.
enum class RandomPurpose : uint32_t {
  kParameterInit = 1,
  kDataOrder = 2,
  kTaskDropout = 3,
  kGlyphs = 4,
  kBootstrap = 5,
  kLinearProbe = 6,
  kTheory = 7,
  kTest = 1000,
};

class RandomStream {
 public:
  /// `index` tells streams of one purpose apart (epoch, step, parameter number, ...).
  RandomStream(uint64_t seed, RandomPurpose purpose, uint64_t index = 0);

  uint32_t next_u32();
  uint64_t next_u64();
  /// Uniform on [0, 1), 53 random bits.
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform on {0, ..., bound - 1}, without modulo bias. bound >= 1.
  uint64_t below(uint64_t bound);
  /// Standard normal (Box-Muller).
  double normal();

  /// The numbers 0 ... n-1 in random order (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n);

 private:
  void refill();

  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
  bool has_spare_normal_ = false;
  double spare_normal_ = 0.0;
};

/// One Philox4x32-10 block; exposed for its known-answer test.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

}  // namespace cdsp
