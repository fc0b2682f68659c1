// A network's answers and routing on a whole split, under one or more protocols side by side.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "eval/evaluation.h"
#include "model/network.h"
#include "train/device_split.h"

namespace cdsp {

/// An evaluation that its caller takes forward bit by bit. On a GPU only results() waits.
class Evaluator {
 public:
  /// The references must outlive this. Every task must have at least one image. parts_at_first: how
  /// many parts the first advance() of the fused engine on the host takes; it changes no result.
  Evaluator(const Network& network, const DeviceSplit& split, std::vector<Protocol> protocols,
            int64_t batch_size, int64_t parts_at_first = 16);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  bool has_next() const { return begin_ < split_.labels.size(0); }
  /// The next batch, under every protocol. The fused engine on the host cuts batches into parts of
  /// 64 images at most, which its threads share out among themselves; it takes some parts at once,
  /// and twice as many the next time if that was less than a tenth of a second's work.
  void advance();
  /// Of the images, those that are done.
  double share_done() const;
  /// Once there is no next batch: an evaluation a protocol.
  std::vector<Evaluation> results() const;

 private:
  struct Sums;
  /// Of these images, one a protocol.
  std::vector<Sums> sums_of(const Batch& batch) const;

  const Network& network_;
  const DeviceSplit& split_;
  const std::vector<Protocol> protocols_;
  const int64_t batch_size_;
  std::vector<Sums> sums_;  // one a protocol
  int64_t begin_ = 0;       // of the images to come
  int64_t parts_at_once_;
};

/// Evaluates all images of `split`; `keep_going` is asked before each advance(), told the share of
/// the images that is done, and stops the work by returning false (WorkError). Every task must have
/// at least one image.
std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool(double)>& keep_going = {});

}  // namespace cdsp
