// Parallel loops over independent pieces of work of unequal size.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include <ATen/Parallel.h>

namespace cdsp {

/// Calls body(piece) for every piece in 0 ... pieces-1, on LibTorch's threads, each free thread
/// taking the next. What a piece computes must not depend on the thread: then nothing depends on
/// the number of threads.
template <typename Body>
void for_each_piece(int64_t pieces, const Body& body) {
  std::atomic<int64_t> next{0};
  const int64_t workers = std::min<int64_t>(pieces, at::get_num_threads());
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    for (int64_t piece = next++; piece < pieces; piece = next++) body(piece);
  });
}

/// Scratch memory of the calling thread: grows to the largest size asked for and is then kept, so
/// that the steady state allocates nothing. Slot numbers keep several at once apart.
template <typename T>
T* thread_scratch(int slot, int64_t size) {
  thread_local std::vector<T> buffers[8];
  std::vector<T>& buffer = buffers[slot];
  if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
  return buffer.data();
}

}  // namespace cdsp
