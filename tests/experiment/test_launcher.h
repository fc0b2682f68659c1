// Stages of a queue without processes of their own: done before the launcher returns.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "experiment/run_queue.h"

namespace cdsp::test {

class TestLauncher {
 public:
  std::vector<std::string> started;  // "train cdsp seed 0", "evaluate cdsp seed 0", ...
  std::string cut_off;               // the run whose training sets `stop` ...
  int64_t cut_off_at = 1;            // ... at this step
  std::atomic<int> stop{0};

  /// Trains and evaluates in the calling thread.
  RunLauncher in_process();
};

}  // namespace cdsp::test
