// The program's numbers belong to kResultsVersion: runs of one version are set side by side, so a
// change of the numbers that keeps the version would mix what does not belong together.
//
// The digits hold on every processor, with any number of threads and with either engine: in float64
// what those change by rounding stays far below the tolerance in so few steps. A change that is one
// of rounding alone is therefore not seen here; it asks for a new version all the same.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "config/config.h"
#include "data/dataset.h"
#include "eval/evaluate.h"
#include "experiment/fingerprint.h"
#include "support/catch.h"
#include "support/tiny_run.h"
#include "train/trainer.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

constexpr double kTolerance = 1e-9;  // relative
constexpr int64_t kVersionOfDigits = 7;

/// What a run logs of its losses, step by step; then its losses on the test images.
struct Digits {
  struct Step {
    double total, task, conflict, reg, balance;
  };
  std::vector<Step> steps;
  double informed, blind;
};

struct VersionedRun {
  Variant variant;
  Digits digits;
};

// clang-format off
const std::vector<VersionedRun> kRuns = {
    {Variant::kBaseline,
     {{{2.42308732847, 2.39214495779, 0, 0, 3.09423706828},
       {2.30650294301, 2.2777750048, 0, 0, 2.87279382183},
       {2.45357441389, 2.42280122778, 0, 0, 3.07731861053},
       {2.68219383137, 2.65481638321, 0, 0, 2.7377448159},
       {2.63036883992, 2.60395855582, 0, 0, 2.64102840977}},
      2.37367420442, 2.3689594927}},
    {Variant::kBlind,
     {{{2.40159541943, 2.37152189829, 0, 0, 3.00735211412},
       {2.22475397307, 2.19515573489, 0, 0, 2.95982381818},
       {2.4319109976, 2.40269495688, 0, 0, 2.92160407186},
       {2.72748979925, 2.69907473681, 0, 0, 2.84150624383},
       {2.65349542954, 2.62542667008, 0, 0, 2.80687594631}},
      2.36739676826, 2.36739676826}},
    {Variant::kCdsp,
     {{{2.35611824358, 2.35610316987, 0, 1.50737123203e-05, 0},
       {2.61509933071, 2.22937028383, 0.0385640697014, 8.83498619294e-05, 0},
       {2.64938087873, 2.33875382343, 0.0310502571221, 0.000124484080744, 0},
       {1.32282104919, 2.59685895388, -0.127418224548, 0.000144340790102, 0},
       {1.54769625133, 2.69078796251, -0.114325378255, 0.000162071375891, 0}},
      2.38829640937, 2.38335122885}},
};
// clang-format on

constexpr int64_t kSteps = 5;

Digits digits_of(Variant variant, EngineChoice engine) {
  Config config = parse_config(tiny_yaml(to_string(variant)), "tiny.yaml");
  config.model.dtype = DType::kFloat64;
  config.train.engine = engine;
  config.train.max_steps = kSteps;
  const Dataset data = load_dataset(config);
  Trainer trainer(config, data, at::kCPU);
  Digits digits;
  while (!trainer.finished()) {
    trainer.step();
    const StepMetrics found = trainer.read_metrics();
    digits.steps.push_back({found.loss_total, found.loss_task, found.loss_conflict, found.loss_reg,
                            found.loss_balance});
  }
  const auto judged = evaluate(trainer.network(), place(data.test, at::kCPU),
                               {{Protocol::Kind::kInformed, 0}, {Protocol::Kind::kBlind, 0}}, 500);
  digits.informed = judged[0].total_loss();
  digits.blind = judged[1].total_loss();
  return digits;
}

std::vector<double> numbers_of(const Digits& digits) {
  std::vector<double> numbers;
  for (const Digits::Step& step : digits.steps)
    numbers.insert(numbers.end(), {step.total, step.task, step.conflict, step.reg, step.balance});
  numbers.insert(numbers.end(), {digits.informed, digits.blind});
  return numbers;
}

std::string number_in_code(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

/// An entry of kRuns.
std::string in_code(Variant variant, const Digits& digits) {
  std::string name = to_string(variant);
  name.front() = static_cast<char>(name.front() - 'a' + 'A');
  std::string text = "    {Variant::k" + name + ",\n     {{";
  const std::vector<double> numbers = numbers_of(digits);
  for (size_t i = 0; i + 2 < numbers.size(); ++i) {
    text += i % 5 == 0 ? (i == 0 ? "{" : "},\n       {") : ", ";
    text += number_in_code(numbers[i]);
  }
  return text + "}},\n      " + number_in_code(digits.informed) + ", " +
         number_in_code(digits.blind) + "}},\n";
}

bool are_same(const Digits& found, const Digits& expected) {
  const std::vector<double> a = numbers_of(found), b = numbers_of(expected);
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= kTolerance * std::abs(b[i]))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("the numbers of a short run are those of this results_version", "[experiment]") {
  CHECK(kRuns.size() == 3);
  INFO("The digits in this file are of results_version " << kVersionOfDigits);
  CHECK(kResultsVersion == kVersionOfDigits);
  for (const VersionedRun& run : kRuns) {
    for (const EngineChoice engine : {EngineChoice::kReference, EngineChoice::kFused}) {
      const Digits found = digits_of(run.variant, engine);
      INFO(
          "The program's numbers changed: raise kResultsVersion in core/experiment/fingerprint.h "
          "and write the new digits here.\nEngine "
          << to_string(engine) << " now finds\n"
          << in_code(run.variant, found));
      CHECK(are_same(found, run.digits));
    }
  }
}
