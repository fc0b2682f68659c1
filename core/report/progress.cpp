#include "report/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include <unistd.h>

#include "report/text_table.h"
#include "train/trainer.h"

namespace cdsp {
namespace {

constexpr double kSecondsBetweenDraws = 0.1;
constexpr double kSecondsBetweenLines = 5.0;
constexpr double kSecondsOfSpeed = 1.0;  // a speed is measured over at least this long
constexpr int64_t kWidestBar = 30, kNarrowestBar = 8;

std::string run_name(const Config& config) {
  return std::string(to_string(config.variant)) + " seed " + std::to_string(config.seed);
}

std::string accuracies_text(const std::vector<std::string>& tasks,
                            const std::vector<std::optional<double>>& values) {
  std::string text;
  for (size_t task = 0; task < tasks.size(); ++task) {
    text += (task == 0 ? "" : ", ") + tasks[task] + " " +
            (values[task] ? per_cent(*values[task], 1) : "-");
  }
  return text;
}

std::string total_text(const std::vector<double>& values, const std::vector<double>& counts,
                       double scale, int decimals) {
  double sum = 0.0, count = 0.0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[i], count += counts[i];
  return fixed_number(scale * sum / count, decimals);
}

}  // namespace

std::string duration_text(double seconds) {
  const int64_t whole = std::isfinite(seconds) ? std::llround(std::max(0.0, seconds)) : 0;
  char text[48];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02d:%02d", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  }
  return text;
}

ProgressOutput progress_on_stderr() {
  ProgressOutput output;
  output.write = [](const std::string& text) {
    // Progress that nobody can see is no reason to stop a run.
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  output.width = [] { return terminal_width(STDERR_FILENO); };
  output.seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  output.terminal = describe_terminal(STDERR_FILENO);
  return output;
}

void Progress::on_start(const Config& config, const Trainer& trainer,
                        const std::filesystem::path& out) {
  run_ = run_name(config);
  tasks_ = trainer.data().task_names;
  step_ = first_step_ = trainer.steps_done();
  total_steps_ = trainer.total_steps();
  steps_per_epoch_ = trainer.steps_per_epoch();
  start_ = speed_start_ = output_.seconds();
  last_draw_ = last_line_ = start_ - kSecondsBetweenLines;
  speed_images_ = trainer.images_seen();
  images_per_second_ = 0.0;
  doing_.clear();
  values_.clear();
  short_values_.clear();
  std::string line = run_ + ": " + std::to_string(total_steps_) + " steps into " + out.string();
  if (step_ > 0) line += ", going on after step " + std::to_string(step_);
  print_line(line);
}

void Progress::on_step(const Trainer& trainer) {
  step_ = trainer.steps_done();
  doing_.clear();
  const double now = output_.seconds();
  if (restart_speed_) {
    restart_speed_ = false;
    speed_start_ = now;
    speed_images_ = trainer.images_seen();
  } else if (now - speed_start_ >= kSecondsOfSpeed) {
    images_per_second_ =
        static_cast<double>(trainer.images_seen() - speed_images_) / (now - speed_start_);
    speed_start_ = now;
    speed_images_ = trainer.images_seen();
  }
  if (output_.terminal.can_redraw && now - last_draw_ >= kSecondsBetweenDraws) draw();
}

void Progress::on_log(const StepMetrics& metrics, double images_per_second) {
  if (images_per_second_ == 0.0) images_per_second_ = images_per_second;
  std::vector<std::optional<double>> accuracies;
  for (size_t task = 0; task < tasks_.size(); ++task) {
    accuracies.push_back(metrics.task_accuracy(task));
  }
  values_ = "loss " + fixed_number(metrics.loss_task, 3) + ", accuracy % " +
            accuracies_text(tasks_, accuracies);
  short_values_ = "loss " + fixed_number(metrics.loss_task, 2) + ", acc ";
  for (size_t task = 0; task < tasks_.size(); ++task) {
    short_values_ +=
        (task == 0 ? "" : "/") + (accuracies[task] ? per_cent(*accuracies[task], 0) : "-");
  }
  if (metrics.alpha_sparsity) {
    const std::string sparsity = fixed_number(*metrics.alpha_sparsity, 2);
    values_ += ", sparsity " + sparsity;
    short_values_ += ", sp " + sparsity;
  }
  const double now = output_.seconds();
  if (output_.terminal.can_redraw || now - last_line_ < kSecondsBetweenLines) return;
  last_line_ = now;
  print_line(run_ + ": " + position_text() + ", " + values_);
}

void Progress::on_evaluate(int64_t) {
  doing_ = "testing";
  if (output_.terminal.can_redraw) draw();
}

void Progress::on_epoch(const EpochRecord& record) {
  restart_speed_ = true;  // the time since the last measurement went into the evaluation
  std::vector<std::optional<double>> accuracies(record.test.accuracy.begin(),
                                                record.test.accuracy.end());
  print_line(run_ + ": epoch " + std::to_string(record.epoch) + " done: train loss " +
             total_text(record.train.loss, record.train.count, 1, 4) + ", accuracy " +
             total_text(record.train.correct, record.train.count, 100, 2) + " %; test loss " +
             fixed_number(record.test.total_loss(), 4) + ", accuracy " +
             per_cent(record.test.total_accuracy()) + " % (" + accuracies_text(tasks_, accuracies) +
             ")");
}

void Progress::on_end() { erase(); }

double Progress::seconds_left() const {
  const int64_t done = step_ - first_step_;
  if (done == 0) return 0.0;
  // Over the whole session, so that the epochs' evaluations count too.
  return (output_.seconds() - start_) / static_cast<double>(done) *
         static_cast<double>(total_steps_ - step_);
}

std::string Progress::epochs_text() const {
  const auto epoch_of = [this](int64_t step) {
    return std::to_string((step + steps_per_epoch_ - 1) / steps_per_epoch_);
  };
  return epoch_of(step_) + "/" + epoch_of(total_steps_);
}

std::string Progress::position_text() const {
  std::string text = "epoch " + epochs_text() + ", step " + std::to_string(step_) + "/" +
                     std::to_string(total_steps_);
  if (!doing_.empty()) return text + ", " + doing_;
  if (images_per_second_ > 0.0) text += ", " + fixed_number(images_per_second_, 0) + " images/s";
  return text + ", ETA " + duration_text(seconds_left());
}

std::string Progress::short_text() const {
  std::string text =
      epochs_text() + ", " + std::to_string(step_) + "/" + std::to_string(total_steps_);
  if (!doing_.empty()) {
    text += ", " + doing_;
  } else {
    if (images_per_second_ > 0.0) text += ", " + fixed_number(images_per_second_, 0) + "/s";
    text += ", ETA " + duration_text(seconds_left());
  }
  return short_values_.empty() ? text : text + ", " + short_values_;
}

std::string Progress::paint(const char* code, const std::string& text) const {
  return output_.terminal.colours ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
}

std::string Progress::bar(int64_t columns) const {
  const double share = static_cast<double>(step_) / static_cast<double>(total_steps_);
  const auto full = static_cast<int64_t>(share * static_cast<double>(columns));
  const char* filled_mark = output_.terminal.unicode ? "█" : "#";
  const char* empty_mark = output_.terminal.unicode ? "░" : ".";
  std::string filled, empty;
  for (int64_t i = 0; i < columns; ++i)
    (i < full ? filled : empty) += i < full ? filled_mark : empty_mark;
  return paint("36", filled) + paint("2", empty);
}

void Progress::draw() {
  last_draw_ = output_.seconds();
  // The last column stays free: some terminals go to the next line once it is written.
  const int64_t room = output_.width() - 1;
  std::string text = position_text() + (values_.empty() ? "" : ", " + values_);
  const auto columns_for_bar = [&] {
    return std::min(room - display_width(run_) - display_width(text) - 2, kWidestBar);
  };
  // On a narrow terminal short words come before a bar: the numbers are what one looks for.
  if (columns_for_bar() < kNarrowestBar) text = short_text();
  std::string line;
  if (columns_for_bar() < kNarrowestBar) {
    line = cut_to_width(run_ + ", " + text, std::max<int64_t>(0, room));
  } else {
    line = paint("1", run_) + " " + bar(columns_for_bar()) + " " + text;
  }
  output_.write("\r" + line + "\x1b[K");
  bar_shown_ = true;
}

void Progress::erase() {
  if (bar_shown_) output_.write("\r\x1b[K");
  bar_shown_ = false;
}

void Progress::print_line(const std::string& text) {
  erase();
  output_.write(text + "\n");
}

}  // namespace cdsp
