// Progress as it appears on terminals of several widths, and in a log.
#include "report/progress.h"

#include <regex>
#include <sstream>

#include "support/catch.h"
#include "support/tiny_setup.h"
#include "train/trainer.h"

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

/// Runs a few steps with a clock that the test moves.
class Show {
 public:
  explicit Show(const Terminal& terminal, int64_t width = 200)
      : progress_({[this](const std::string& text) { shown_ += text; }, [width] { return width; },
                   [this] { return clock_; }, terminal}) {}

  /// Each step takes `seconds_per_step` by the clock; every one is logged.
  std::string run(int64_t steps, double seconds_per_step) {
    Config config = tiny_config();
    config.train.epochs = 100;
    const Dataset data = tiny_dataset();
    Trainer trainer(config, data, at::kCPU);
    progress_.on_start(config, trainer, "some/run");
    for (int64_t step = 0; step < steps; ++step) {
      trainer.step();
      clock_ += seconds_per_step;
      progress_.on_step(trainer);
      progress_.on_log(trainer.read_metrics(), 100.0);
    }
    progress_.on_end();
    return shown_;
  }

 private:
  std::string shown_;
  double clock_ = 1000.0;
  Progress progress_;
};

/// Without what only moves the cursor or sets a colour.
std::string visible(const std::string& text) {
  return std::regex_replace(text, std::regex("\x1b\\[[0-9;]*[mK]"), "");
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

constexpr Terminal kLog{false, false, true};
constexpr Terminal kPlain{true, false, false};
constexpr Terminal kFull{true, true, true};

}  // namespace

TEST_CASE("a log gets plain lines, not too many", "[report]") {
  const std::string text = Show(kLog).run(120, 0.1);  // 12 seconds
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  const auto lines = split(text, '\n');
  CHECK(lines.size() == 1 + 3);  // the start, then one every five seconds
  CHECK(lines[0] == "cdsp seed 5: 400 steps into some/run");
  CHECK_THAT(lines[1], ContainsSubstring("cdsp seed 5: epoch 1/100, step 1/400"));
  CHECK_THAT(lines[3], ContainsSubstring("images/s, ETA 0:"));
  CHECK_THAT(lines[3], ContainsSubstring("loss "));
  CHECK_THAT(lines[3], ContainsSubstring("task-2 "));
  CHECK_THAT(lines[3], ContainsSubstring("sparsity "));
}

TEST_CASE("a terminal gets one line, drawn again in place", "[report]") {
  const std::string text = Show(kFull).run(100, 0.03);  // 3 seconds
  CHECK(split(text, '\n').size() == 2);                 // the start line; the bar ends no line
  const auto draws = split(text, '\r');
  CHECK(draws.size() >= 20);
  CHECK(draws.size() <= 35);  // ten a second, and the last erasure
  CHECK(draws.back() == "\x1b[K");
  const std::string last = visible(draws[draws.size() - 2]);
  CHECK_THAT(last, ContainsSubstring("█"));
  CHECK_THAT(last, ContainsSubstring("ETA 0:0"));
}

TEST_CASE("colours and block characters only where they belong", "[report]") {
  const std::string text = Show(kPlain).run(40, 0.1);
  CHECK(text.find("m") != std::string::npos);
  CHECK_FALSE(std::regex_search(text, std::regex("\x1b\\[[0-9;]*m")));
  CHECK_THAT(text, ContainsSubstring("##"));
  CHECK(text.find("█") == std::string::npos);
}

TEST_CASE("the line fits every width", "[report]") {
  for (const int64_t width : {1, 2, 10, 18, 25, 40, 80, 120, 300}) {
    CAPTURE(width);
    const auto draws = split(visible(Show(kFull, width).run(30, 0.5)), '\r');
    for (size_t i = 1; i < draws.size(); ++i) CHECK(display_width(draws[i]) < width);
  }
}

TEST_CASE("eighty columns hold loss, accuracy by task and sparsity", "[report]") {
  const auto draws = split(visible(Show(kFull, 80).run(30, 0.5)), '\r');
  const std::string& last = draws[draws.size() - 2];
  CAPTURE(last);
  CHECK(std::regex_search(last, std::regex("ETA [0-9:]+, loss [0-9.]+, acc [0-9/-]+, sp [0-9.]+")));
}

TEST_CASE("durations", "[report]") {
  CHECK(duration_text(0.4) == "0:00");
  CHECK(duration_text(123) == "2:03");
  CHECK(duration_text(3723) == "1:02:03");
  CHECK(duration_text(-5) == "0:00");
}
