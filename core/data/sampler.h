// The order in which training samples are seen: a function of (config, seed, epoch), nothing else.
//
//   order_file   one global sample index a line; an epoch is one pass over the file, no shuffling
//   concat       every training sample once, shuffled
//   balanced     every task equally often: as often as the largest task has samples; smaller tasks
//                start a fresh shuffled pass over themselves whenever one ends
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"

namespace cdsp {

class Sampler {
 public:
  /// Reads and checks `data.order_file` if there is one. Throws InputError naming file and line.
  Sampler(const Config& config, const Split& train);

  /// Samples in one epoch (the same for every epoch).
  int64_t epoch_size() const { return epoch_size_; }
  /// Global sample indices of epoch `epoch` (counted from 0), in order. Batches are consecutive
  /// slices.
  std::vector<int64_t> epoch_order(int64_t epoch) const;

 private:
  uint64_t seed_;
  Sampling sampling_;
  std::vector<int64_t> task_offsets_;
  std::vector<int64_t> fixed_order_;  // from order_file; empty without one
  int64_t epoch_size_ = 0;
};

}  // namespace cdsp
