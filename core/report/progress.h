// Shows a run while it works: one line that is redrawn in place on a terminal, log lines elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "experiment/train_run.h"
#include "report/terminal.h"

namespace cdsp {

/// Where progress goes; everything it depends on beyond the run itself.
struct ProgressOutput {
  std::function<void(const std::string&)> write;
  std::function<int64_t()> width;   // columns at this moment
  std::function<double()> seconds;  // a clock that never runs back
  Terminal terminal;
};

/// Standard error, as it is at this moment.
ProgressOutput progress_on_stderr();

/// The observer of one run after another. On a terminal: a bar with epoch, step, images/s, time
/// left, and the last logged step's loss, accuracies and sparsity, redrawn at most ten times a
/// second. Elsewhere: a line for a logged step, at most one every few seconds. Both: a line for
/// every epoch.
class Progress : public RunObserver {
 public:
  explicit Progress(ProgressOutput output) : output_(std::move(output)) {}

  void on_start(const Config& config, const Trainer& trainer,
                const std::filesystem::path& out) override;
  void on_step(const Trainer& trainer) override;
  void on_log(const StepMetrics& metrics, double images_per_second) override;
  void on_evaluate(int64_t epoch) override;
  void on_epoch(const EpochRecord& record) override;
  void on_end() override;

 private:
  void print_line(const std::string& text);
  void draw();
  void erase();
  std::string epochs_text() const;
  std::string position_text() const;
  std::string short_text() const;
  std::string bar(int64_t columns) const;
  std::string paint(const char* code, const std::string& text) const;
  double seconds_left() const;

  ProgressOutput output_;
  std::string run_;  // "cdsp seed 0"
  std::vector<std::string> tasks_;
  int64_t step_ = 0, first_step_ = 0, total_steps_ = 0, steps_per_epoch_ = 1;
  double start_ = 0, last_draw_ = 0, last_line_ = 0;
  double speed_start_ = 0, images_per_second_ = 0;
  int64_t speed_images_ = 0;
  std::string doing_;  // other than training: "testing"
  std::string values_,
      short_values_;  // the last logged step's numbers, for wide and narrow terminals
  bool restart_speed_ = false;
  bool bar_shown_ = false;
};

/// "2:03", "1:02:03"
std::string duration_text(double seconds);

}  // namespace cdsp
