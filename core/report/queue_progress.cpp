#include "report/queue_progress.h"

#include <algorithm>
#include <cmath>

#include "report/text_table.h"

namespace cdsp {
namespace {

using Phase = RunStatus::Phase;

constexpr double kSecondsBetweenLines = 10.0;
constexpr int64_t kCellColumns = 6;  // "  100%"
constexpr int64_t kBarColumns = 20;

int64_t count_of(const QueueState& state, Phase phase) {
  return std::count_if(state.status.begin(), state.status.end(),
                       [&](const RunStatus& status) { return status.phase == phase; });
}

double share_of(const QueueState& state, size_t run) {
  const double total = static_cast<double>(std::max<int64_t>(1, state.runs[run].total_steps));
  return std::min(1.0, static_cast<double>(state.status[run].step) / total);
}

std::string cell_text(const QueueState& state, size_t run) {
  switch (state.status[run].phase) {
    case Phase::kWaiting:
      return ".";
    case Phase::kTraining:
      return fixed_number(std::floor(100.0 * share_of(state, run)), 0) + "%";
    case Phase::kEvaluating:
      return "eval";
    case Phase::kDone:
      return state.status[run].reused ? "had" : "done";
    case Phase::kStopped:
      return "stop";
    case Phase::kFailed:
      return "FAIL";
  }
  return "";
}

std::string right_aligned(const std::string& text, int64_t columns) {
  return std::string(static_cast<size_t>(std::max<int64_t>(0, columns - display_width(text))),
                     ' ') +
         text;
}

std::string left_aligned(const std::string& text, int64_t columns) {
  return text +
         std::string(static_cast<size_t>(std::max<int64_t>(0, columns - display_width(text))), ' ');
}

std::string accuracy_text(const RunStatus& status) {
  return status.accuracy ? ", accuracy " + per_cent(*status.accuracy, 1) + " %" : "";
}

}  // namespace

void QueueProgress::on_start(const QueueState& state) {
  last_line_ = output_.seconds();
  for (size_t i = 0; i < state.runs.size(); ++i) {
    if (state.status[i].reused && !output_.terminal.can_redraw)
      print_line(state.runs[i].name() + ": finished before, taken from " +
                 state.runs[i].folder.string());
  }
  const int64_t reused = count_of(state, Phase::kDone);
  if (reused == static_cast<int64_t>(state.runs.size())) return;
  print_line(std::to_string(state.runs.size()) + " runs" +
             (reused > 0 ? ", " + std::to_string(reused) + " of them finished before" : "") + "; " +
             std::to_string(state.jobs) + " side by side with " + std::to_string(state.threads) +
             (state.threads == 1 ? " thread each" : " threads each"));
}

void QueueProgress::on_phase(const QueueState& state, size_t run) {
  const RunStatus& status = state.status[run];
  const std::string name = state.runs[run].name();
  const bool table = output_.terminal.can_redraw;
  if (status.phase == Phase::kFailed) {
    print_line(name + ": failed: " + status.message);
  } else if (!table && status.phase == Phase::kTraining) {
    print_line(name + ": " + std::to_string(state.runs[run].total_steps) + " steps into " +
               state.runs[run].folder.string() +
               (status.step > 0 ? ", going on after step " + std::to_string(status.step) : ""));
  } else if (!table && status.phase == Phase::kEvaluating) {
    print_line(name + ": evaluating, told the task and not told");
  } else if (!table && status.phase == Phase::kStopped) {
    print_line(name + ": stopped");
  } else if (!table && status.phase == Phase::kDone) {
    print_line(name + ": done (" + std::to_string(count_of(state, Phase::kDone)) + " of " +
               std::to_string(state.runs.size()) + " runs)");
  }
  if (table) draw(state);
}

void QueueProgress::on_time(const QueueState& state) {
  if (output_.terminal.can_redraw) {
    draw(state);
    return;
  }
  if (output_.seconds() - last_line_ < kSecondsBetweenLines) return;
  last_line_ = output_.seconds();
  std::string text = whole_line(state);
  for (size_t i = 0; i < state.runs.size(); ++i) {
    if (state.status[i].phase == Phase::kTraining)
      text +=
          "; " + state.runs[i].name() + " " + cell_text(state, i) + accuracy_text(state.status[i]);
  }
  print_line(text);
}

void QueueProgress::on_end(const QueueState& state) {
  if (!output_.terminal.can_redraw) return;
  draw(state);
  lines_shown_ = 0;  // the table stays where it is
}

void QueueProgress::on_yardstick(double share) {
  if (output_.terminal.can_redraw) {
    erase();
    if (share >= 1.0) return;
    output_.write("linear softmax on pixels, the yardstick: " + per_cent(share, 0) + " %\n");
    lines_shown_ = 1;
  } else if (!yardstick_begun_) {
    print_line("linear softmax on pixels, the yardstick");
  }
  yardstick_begun_ = true;
}

std::vector<std::string> QueueProgress::table_lines(const QueueState& state) const {
  std::vector<std::string> arms;
  int64_t widest = 0;
  size_t most_seeds = 0;
  for (size_t i = 0, seeds = 0; i < state.runs.size(); ++i) {
    if (arms.empty() || arms.back() != state.runs[i].arm) {
      arms.push_back(state.runs[i].arm);
      widest = std::max(widest, display_width(arms.back()));
      seeds = 0;
    }
    most_seeds = std::max(most_seeds, ++seeds);
  }
  const bool has_room =
      widest + static_cast<int64_t>(most_seeds) * kCellColumns < output_.width() - 1;
  std::vector<std::string> lines = {left_aligned(has_room ? "seed" : "", widest)};
  for (size_t i = 0; i < most_seeds && has_room; ++i) {
    lines.front() += right_aligned(std::to_string(state.runs[i].config.seed), kCellColumns);
  }
  if (!has_room) lines.clear();
  for (const std::string& arm : arms) {
    std::string line = left_aligned(arm, widest);
    int64_t done = 0, all = 0;
    for (size_t i = 0; i < state.runs.size(); ++i) {
      if (state.runs[i].arm != arm) continue;
      if (has_room) line += right_aligned(cell_text(state, i), kCellColumns);
      done += state.status[i].phase == Phase::kDone ? 1 : 0;
      ++all;
    }
    if (!has_room) line += "  " + std::to_string(done) + " of " + std::to_string(all) + " done";
    lines.push_back(line);
  }
  return lines;
}

std::string QueueProgress::run_line(const QueueState& state, size_t run, int64_t room) const {
  const RunStatus& status = state.status[run];
  std::string text = state.runs[run].name() + " ";
  if (status.phase == Phase::kEvaluating) {
    text += "evaluating, told the task and not told";
  } else {
    const auto full = std::llround(share_of(state, run) * static_cast<double>(kBarColumns));
    for (int64_t i = 0; i < kBarColumns; ++i)
      text += i < full ? (output_.terminal.unicode ? "█" : "#")
                       : (output_.terminal.unicode ? "░" : ".");
    text += " step " + std::to_string(status.step) + "/" +
            std::to_string(state.runs[run].total_steps) + accuracy_text(status);
  }
  return cut_to_width(text, room);
}

std::string QueueProgress::whole_line(const QueueState& state) const {
  std::string text = std::to_string(count_of(state, Phase::kDone)) + " of " +
                     std::to_string(state.runs.size()) + " runs done, " +
                     duration_text(state.seconds) + " gone";
  if (count_of(state, Phase::kFailed) > 0)
    text += ", " + std::to_string(count_of(state, Phase::kFailed)) + " failed";
  if (state.seconds_left) text += ", ETA " + duration_text(*state.seconds_left);
  return text;
}

void QueueProgress::draw(const QueueState& state) {
  const int64_t room = std::max<int64_t>(1, output_.width() - 1);
  std::vector<std::string> lines = table_lines(state);
  for (size_t i = 0; i < state.runs.size(); ++i) {
    const Phase phase = state.status[i].phase;
    if (phase == Phase::kTraining || phase == Phase::kEvaluating)
      lines.push_back(run_line(state, i, room));
  }
  lines.push_back(whole_line(state));
  erase();
  std::string text;
  for (const std::string& line : lines) text += cut_to_width(line, room) + "\n";
  output_.write(text);
  lines_shown_ = lines.size();
}

void QueueProgress::erase() {
  if (lines_shown_ == 0) return;
  output_.write("\x1b[" + std::to_string(lines_shown_) + "A\r\x1b[J");
  lines_shown_ = 0;
}

void QueueProgress::print_line(const std::string& text) {
  erase();
  output_.write(text + "\n");
}

}  // namespace cdsp
