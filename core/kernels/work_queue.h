// Parallel loops over independent pieces of work of unequal size.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <ATen/Parallel.h>

namespace cdsp {

/// Calls body(piece) for every piece in 0 ... pieces-1, on LibTorch's threads, each free thread
/// taking the next. What a piece computes must not depend on the thread that runs it.
template <typename Body>
void for_each_piece(int64_t pieces, const Body& body) {
  std::atomic<int64_t> next{0};
  const int64_t workers = std::min<int64_t>(pieces, at::get_num_threads());
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    for (int64_t piece = next++; piece < pieces; piece = next++) body(piece);
  });
}

/// Scratch memory of the calling thread: grows to the largest size asked for and is then kept, so
/// that the steady state allocates nothing. Slot numbers keep several at once apart. Aligned to 64
/// bytes, because a BLAS may round differently at another alignment, and which thread gets which
/// piece is chance.
template <typename T>
T* thread_scratch(int slot, int64_t size) {
  constexpr size_t kAlignment = 64;
  struct Buffer {
    T* data = nullptr;
    int64_t size = 0;
    ~Buffer() { std::free(data); }
  };
  thread_local Buffer buffers[8];
  Buffer& buffer = buffers[slot];
  if (buffer.size < size) {
    std::free(buffer.data);
    buffer.data = nullptr;
    buffer.size = 0;
    const size_t bytes =
        (static_cast<size_t>(size) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    buffer.data = static_cast<T*>(std::aligned_alloc(kAlignment, bytes));
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.size = size;
  }
  return buffer.data;
}

}  // namespace cdsp
