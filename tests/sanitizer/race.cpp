// What the thread sanitizer must see, and what it must not, by the project's suppressions: `race
// shared` has all threads of a parallel loop add to the same numbers, `race own` each to its own.
#include <array>
#include <cstdio>
#include <string>

#include "kernels/work_queue.h"

int main(int count, char** arguments) {
  const bool is_shared = count > 1 && std::string(arguments[1]) == "shared";
  constexpr int64_t kPieces = 64;
  constexpr int64_t kAdditions = 20000;  // long enough for every thread to get a piece
  std::array<double, kPieces> sums{};
  at::set_num_threads(4);
  for (int round = 0; round < 50; ++round) {
    cdsp::for_each_piece(kPieces, [&](int64_t piece) {
      for (int64_t i = 0; i < kAdditions; ++i) sums.at(is_shared ? i % kPieces : piece) += 1.0;
    });
    sums.front() += 1.0;  // the caller's own, before the threads of the next round
  }
  std::printf("%g\n", sums.back());
  return 0;
}
