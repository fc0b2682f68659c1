// Shows a queue of runs while it works: a table of all runs, redrawn in place on a terminal, lines
// elsewhere.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "experiment/run_queue.h"
#include "report/progress.h"

namespace cdsp {

/// On a terminal: a row per arm with a cell per seed, a line with bar, step and accuracy for each
/// run at work, and a line with what is done, the time gone and the time left. Elsewhere: a line
/// whenever a run begins, is evaluated, ends or fails, and one on the whole every ten seconds.
class QueueProgress : public QueueObserver {
 public:
  explicit QueueProgress(ProgressOutput output) : output_(std::move(output)) {}

  void on_start(const QueueState& state) override;
  void on_phase(const QueueState& state, size_t run) override;
  void on_time(const QueueState& state) override;
  void on_end(const QueueState& state) override;
  void on_yardstick(double share) override;

 private:
  void print_line(const std::string& text);
  void draw(const QueueState& state);
  void erase();
  std::vector<std::string> table_lines(const QueueState& state) const;
  std::string run_line(const QueueState& state, size_t run, int64_t room) const;
  std::string whole_line(const QueueState& state) const;

  ProgressOutput output_;
  size_t lines_shown_ = 0;  // of the block that is redrawn
  double last_line_ = 0;
  bool yardstick_begun_ = false;
};

}  // namespace cdsp
