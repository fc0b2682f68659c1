// Parallel loops over independent pieces of work of unequal size, and the memory they work in.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <ATen/Parallel.h>

#include "kernels/thread_order.h"

namespace cdsp {

inline int64_t pieces_of(int64_t total, int64_t per_piece) {
  return (total + per_piece - 1) / per_piece;
}

/// Calls body(piece) for every piece in 0 ... pieces-1, on LibTorch's threads, each free thread
/// taking the next. What a piece computes must not depend on the thread that runs it.
template <typename Body>
void for_each_piece(int64_t pieces, const Body& body) {
  // Relaxed, for it hands out numbers only: what one piece writes is no other's to read.
  std::atomic<int64_t> next{0};
  const auto take = [&next] { return next.fetch_add(1, std::memory_order_relaxed); };
  const auto work = [&](int64_t, int64_t) {
    ThreadOrder::thread_begins();
    for (int64_t piece = take(); piece < pieces; piece = take()) body(piece);
    ThreadOrder::thread_ends();
  };
  const int64_t workers = std::min<int64_t>(pieces, at::get_num_threads());
  ThreadOrder::before_threads();
  at::parallel_for(0, workers, 1, work);
  ThreadOrder::after_threads();
}

/// Scratch memory of the calling thread: one array for each size, each on a cache line of its own.
/// It grows to the largest sum asked for and is then kept, so that the steady state allocates
/// nothing. A piece of work asks once: the next call gives the same memory again.
template <typename T, typename... Size>
std::array<T*, sizeof...(Size)> thread_scratch(Size... sizes) {
  constexpr int64_t kLine = 64;
  struct Buffer {
    char* data = nullptr;
    int64_t bytes = 0;
    ~Buffer() { std::free(data); }
  };
  thread_local Buffer buffer;
  const std::array<int64_t, sizeof...(Size)> bytes = {
      ((static_cast<int64_t>(sizes) * static_cast<int64_t>(sizeof(T)) + kLine - 1) / kLine *
       kLine)...};
  int64_t total = 0;
  for (const int64_t part : bytes) total += part;
  if (buffer.bytes < total) {
    std::free(buffer.data);
    buffer.bytes = 0;
    buffer.data = static_cast<char*>(std::aligned_alloc(kLine, static_cast<size_t>(total)));
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.bytes = total;
  }
  std::array<T*, sizeof...(Size)> arrays{};
  char* next = buffer.data;
  for (size_t i = 0; i < bytes.size(); ++i) {
    arrays[i] = reinterpret_cast<T*>(next);
    next += bytes[i];
  }
  return arrays;
}

}  // namespace cdsp
