// Neighbouring numbers that a thread of a block program moves in one access.
#pragma once

#include <cstring>

#include "base/host_device.h"

namespace cdsp {

/// Four neighbouring numbers: what a thread moves at a time.
template <typename T>
struct alignas(16) Quad {
  T x[4];
};

/// Numbers that lie in memory one by one, as one piece: to a GPU one access, as far as it is
/// aligned.
template <typename Piece, typename T>
CDSP_HOST_DEVICE Piece read_piece(const T* from) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const Piece*>(from);
#else
  Piece piece;
  std::memcpy(&piece, from, sizeof piece);
  return piece;
#endif
}

template <typename Piece, typename T>
CDSP_HOST_DEVICE void write_piece(const Piece& piece, T* to) {
#ifdef __CUDA_ARCH__
  *reinterpret_cast<Piece*>(to) = piece;
#else
  std::memcpy(to, &piece, sizeof piece);
#endif
}

}  // namespace cdsp
