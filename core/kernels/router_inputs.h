// What the router's block programs of both directions (normalise_and_route_blocks.h,
// normalise_and_route_backward_blocks.h) are given, and how their threads move and rank numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/pieces.h"
#include "kernels/rotary_attention_tables.h"

namespace cdsp {

namespace router_block {
using attention_block::high_half;
using attention_block::store_quad;

inline constexpr int kExperts = 8;   // that are gone through at once, their sums in registers
inline constexpr int kColumns = 64;  // of a row, as many
inline constexpr int kHeld = 128;    // numbers of H (the way back), at most, that a block can hold

CDSP_HOST_DEVICE int chunks(int experts) { return (experts + kExperts - 1) / kExperts; }
CDSP_HOST_DEVICE int stretches(int columns) { return (columns + kColumns - 1) / kColumns; }
}  // namespace router_block

/// What both directions read. An image, and the router's weights for eight experts, have fewer than
/// 2^31 numbers: offsets of 64 bits cost a GPU several instructions.
template <typename T>
struct RouterInputs {
  const T* x;          // [images * positions, d]
  const T* weight;     // W_g [experts, d + width]: W_x beside W_v
  const T* bias;       // [experts]
  const T* embedding;  // [tasks, width]
  const T* one_hot;    // [images, tasks]; null where no image has a task
  int64_t images;
  int positions, d, experts, tasks, width;
  bool by_token;   // what a mean is over: a token, or else an image
  bool has_quads;  // d and width are multiples of 4; x, weight, embedding aligned to 16 bytes
  uint32_t of_positions;  // part_of_positions()

  /// (2^32 - 1) / positions, rounded down.
  static uint32_t part_of_positions(int64_t positions) {
    return std::numeric_limits<uint32_t>::max() / static_cast<uint32_t>(positions);
  }
  int64_t tokens() const { return images * positions; }
  /// Whether there are as many columns and experts as are gone through at once, no quad has a gap,
  /// and offsets into all tensors take 32 bits. Programs for this case are compiled without the
  /// tests that others need: these would be more than half of the instructions.
  bool is_tile() const {
    return d == router_block::kColumns && experts == router_block::kExperts && has_quads &&
           tokens() * d < int64_t{1} << 31 && tasks * experts <= router_block::kHeld;
  }
};

/// The same for a program that may be compiled for a tile.
template <typename T, bool kIsTile>
struct RouterView : RouterInputs<T> {
  using All = RouterInputs<T>;
  /// Of tokens, and of numbers in all tensors.
  using Index = std::conditional_t<kIsTile, int32_t, int64_t>;

  CDSP_HOST_DEVICE int d() const { return kIsTile ? router_block::kColumns : All::d; }
  CDSP_HOST_DEVICE int experts() const { return kIsTile ? router_block::kExperts : All::experts; }
  CDSP_HOST_DEVICE bool has_quads() const { return kIsTile || All::has_quads; }
  CDSP_HOST_DEVICE int columns() const { return d() + All::width; }
  CDSP_HOST_DEVICE Index tokens() const { return static_cast<Index>(All::images) * All::positions; }

  struct Place {
    Index image;
    int position;
  };
  CDSP_HOST_DEVICE Place place(Index token) const {
    if (!kIsTile && token >> 31 != 0) {
      const Index image = token / All::positions;
      return {image, static_cast<int>(token - image * All::positions)};
    }
    // Division by multiplication, at most one too low: the GPU's own is dozens of instructions.
    auto image =
        static_cast<int>(router_block::high_half(static_cast<uint32_t>(token), All::of_positions));
    int position = static_cast<int>(token) - image * All::positions;
    if (position >= All::positions) {
      ++image;
      position -= All::positions;
    }
    return {image, position};
  }
  /// How many images behind that of position 0 a position is, when counted on past its end.
  CDSP_HOST_DEVICE int images_on(int position) const {
    if (position < All::positions) return 0;
    return position < 2 * All::positions ? 1 : position / All::positions;
  }
};

namespace router_block {
/// Four neighbours from from[offset] on, `left` of which are there, which may be none or more than
/// four; zeros for the others. With quads `left` is a multiple of 4, or not above 0. Where none is,
/// `from` may be null.
template <typename T, typename Index>
CDSP_HOST_DEVICE Quad<T> read_four(const T* from, Index offset, int left, bool has_quads) {
  Quad<T> quad = {{0, 0, 0, 0}};
  if (has_quads) {
    if (left > 0) quad = read_piece<Quad<T>>(from + offset);
    return quad;
  }
  CDSP_UNROLL
  for (int c = 0; c < 4; ++c) {
    if (c < left) quad.x[c] = from[offset + c];
  }
  return quad;
}

template <typename T>
CDSP_HOST_DEVICE void write_four(const Quad<T>& quad, T* to, int left, bool has_quads) {
  if (has_quads) return store_quad(quad, to, left, true);
  CDSP_UNROLL
  for (int c = 0; c < 4; ++c) {
    if (c < left) to[c] = quad.x[c];
  }
}

template <typename T>
CDSP_HOST_DEVICE T sum_of_quad(const Quad<T>& quad) {
  return (quad.x[0] + quad.x[1]) + (quad.x[2] + quad.x[3]);
}

/// Of one number a lane, aligned to 16 bytes.
template <typename T>
CDSP_HOST_DEVICE T sum_of_lanes(const T (&values)[8]) {
  return sum_of_quad(read_piece<Quad<T>>(values)) + sum_of_quad(read_piece<Quad<T>>(values + 4));
}

/// 1 / sqrt(x); a GPU's own, right to 2 units in the last place, is a tenth of the instructions.
CDSP_HOST_DEVICE double inverse_root(double x) { return 1.0 / std::sqrt(x); }
CDSP_HOST_DEVICE float inverse_root(float x) {
#ifdef __CUDA_ARCH__
  return rsqrtf(x);
#else
  return 1.0F / std::sqrt(x);
#endif
}

/// Logits as integers that are ordered as routed_before() orders logits, but for ties: NaN above
/// all numbers, and one zero. Comparing logits takes twice the instructions.
template <typename T>
using Key = std::conditional_t<sizeof(T) == sizeof(int32_t), int32_t, int64_t>;
/// All bits but the sign; of a floating number a NaN.
template <typename T>
inline constexpr Key<T> kAllBits = std::numeric_limits<Key<T>>::max();
template <typename T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();

template <typename T>
CDSP_HOST_DEVICE Key<T> key_of(T logit) {
  const T one_zero = logit + T(0);  // -0 + 0 is 0
  Key<T> bits;
  std::memcpy(&bits, &one_zero, sizeof bits);
  if (std::isnan(logit)) return kAllBits<T>;
  return bits < 0 ? bits ^ kAllBits<T> : bits;
}

template <typename T>
CDSP_HOST_DEVICE T logit_of(Key<T> key) {
  const Key<T> bits = key < 0 ? key ^ kAllBits<T> : key;
  T logit;
  std::memcpy(&logit, &bits, sizeof logit);
  return logit;
}
}  // namespace router_block

}  // namespace cdsp
