// The progress of a comparison: that of its queue of runs, then the networks before training.
#pragma once

#include <utility>

#include "report/queue_progress.h"

namespace cdsp::app {

/// Adds the share of the untrained networks that are evaluated: one line, redrawn in place on a
/// terminal, and one line elsewhere.
class CompareProgress : public QueueProgress {
 public:
  explicit CompareProgress(ProgressOutput output)
      : QueueProgress(output), output_(std::move(output)) {}

  void on_untrained(double share) override;

 private:
  ProgressOutput output_;
  bool begun_ = false;
};

}  // namespace cdsp::app
