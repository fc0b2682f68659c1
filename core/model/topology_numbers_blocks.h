// Sparsity and structural entropy of all layers' topologies (topology.h) as a block program of one
// block.
#pragma once

#include <cmath>

#include "kernels/block_grid.h"
#include "kernels/block_sum.h"

namespace cdsp {

/// Layer l's logits [links] begin at parameters + offsets[l] -> numbers float64 [2]: the share of
/// links below `pruned`, mean over layers, and the binary entropies of all links, in bits.
template <typename T>
struct TopologyNumbersProgram {
  static constexpr int kThreads = 256;
  struct Shared {
    double pruned[kThreads], nats[kThreads];
  };
  using Registers = Nothing;

  const T* parameters;
  const int64_t* offsets;
  double* numbers;
  int64_t layers, links;
  double pruned;

  int64_t blocks() const { return 1; }
  CDSP_HOST_DEVICE int phases(int64_t) const { return 3; }
  CDSP_HOST_DEVICE void run(int phase, int64_t, int thread, Shared& shared, Registers&) const {
    if (phase == 0) {
      double count = 0, nats = 0;
      for (int64_t at = thread; at < layers * links; at += kThreads) {
        const double logit = static_cast<double>(parameters[offsets[at / links] + at % links]);
        const double a = std::fabs(logit);
        const double far_side = std::exp(-a);  // sigma(-a) = far_side / (1 + far_side)
        const double weak = far_side / (1.0 + far_side);
        count += (logit < 0 ? weak : 1.0 - weak) < pruned ? 1.0 : 0.0;
        nats += std::log1p(far_side) + a * weak;
      }
      shared.pruned[thread] = count;
      shared.nats[thread] = nats;
    } else if (phase == 1) {
      sum_groups(shared.pruned, thread);
      sum_groups(shared.nats, thread);
    } else if (thread == 0) {
      numbers[0] = sum_of_groups(shared.pruned) / static_cast<double>(layers * links);
      numbers[1] = sum_of_groups(shared.nats) / kNatsOfBit;
    }
  }

  static constexpr double kNatsOfBit = 0.69314718055994530942;  // ln 2
};

}  // namespace cdsp
