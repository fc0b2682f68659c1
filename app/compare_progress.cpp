#include "app/compare_progress.h"

#include <string>

#include "report/text_table.h"

namespace cdsp::app {

void CompareProgress::on_untrained(double share) {
  const std::string what = "the networks before training, told the task and not told";
  if (output_.terminal.can_redraw) {
    const std::string line =
        cut_to_width(what + ": " + per_cent(share, 0) + " %", output_.width() - 1);
    output_.write("\r" + (share >= 1.0 ? std::string() : line) + "\x1b[K");
  } else if (!begun_) {
    output_.write(what + "\n");
  }
  begun_ = true;
}

}  // namespace cdsp::app
