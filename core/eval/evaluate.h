// A network's answers and routing on a whole split, under one or more protocols side by side.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "eval/evaluation.h"
#include "model/network.h"
#include "train/device_split.h"

namespace cdsp {

/// An evaluation that its caller takes forward batch by batch. On a GPU only results() waits.
class Evaluator {
 public:
  /// The references must outlive this. Every task must have at least one image.
  Evaluator(const Network& network, const DeviceSplit& split, std::vector<Protocol> protocols,
            int64_t batch_size);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  bool has_next() const { return begin_ < split_.labels.size(0); }
  /// The next batch, under every protocol; with the fused engine on the host the next tenth of a
  /// second or so, which its threads share out in parts of 64 images at most. How far that goes
  /// changes no result.
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
  int64_t parts_at_once_ = 0;
};

/// Evaluates all images of `split`; `keep_going` is asked before each advance(), told the share of
/// the images that is done, and stops the work by returning false (WorkError). Every task must have
/// at least one image.
std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool(double)>& keep_going = {});

}  // namespace cdsp
