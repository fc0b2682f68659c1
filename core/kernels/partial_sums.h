// Sums over pieces of work whose bytes do not depend on the number of threads: the pieces are cut
// by size alone, each adds up its own share, and the shares are added in their order.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "kernels/simd_loops.h"
#include "kernels/work_queue.h"

namespace cdsp {

/// total [columns] = sum over the rows of shares [pieces, columns].
template <typename T>
void sum_shares(int64_t pieces, int64_t columns, const T* shares, T* total) {
  constexpr int64_t kColumns = 4096;
  for_each_piece(pieces_of(columns, kColumns), [&](int64_t stretch) {
    const int64_t begin = stretch * kColumns, length = std::min(kColumns, columns - begin);
    std::vector<const T*> rows(static_cast<size_t>(pieces));
    for (int64_t piece = 0; piece < pieces; ++piece)
      rows[static_cast<size_t>(piece)] = shares + piece * columns + begin;
    simd_loops<T>().sum_rows(length, pieces, nullptr, nullptr, rows.data(), total + begin);
  });
}

/// Takes tensors of given shapes from a flat one, one after the other.
class Slices {
 public:
  explicit Slices(at::Tensor flat) : flat_(std::move(flat)) {}
  at::Tensor take(at::IntArrayRef size) {
    int64_t length = 1;
    for (const int64_t extent : size) length *= extent;
    at::Tensor slice = flat_.narrow(0, offset_, length).view(size);
    offset_ += length;
    return slice;
  }
  bool is_empty() const { return offset_ == flat_.numel(); }

 private:
  at::Tensor flat_;
  int64_t offset_ = 0;
};

}  // namespace cdsp
