#include "data/labels.h"

#include <array>
#include <cstring>

#include "base/error.h"

namespace cdsp {
namespace {

int64_t itself(int64_t label) { return label; }
int64_t parity(int64_t label) { return label % 2; }
int64_t upper_half(int64_t label) { return label >= 5 ? 1 : 0; }

struct LabelRule {
  LabelScheme scheme;
  const char* task;      // empty: every task
  int64_t file_classes;  // labels of the file must be below this; 0 = no rule of its own
  int64_t (*map)(int64_t label);
};

constexpr std::array<LabelRule, 4> kRules = {{
    {LabelScheme::kNative, "", 0, itself},
    {LabelScheme::kCoarse, "mnist", 10, itself},
    {LabelScheme::kCoarse, "kmnist", 10, parity},
    {LabelScheme::kCoarse, "fashion-mnist", 10, upper_half},
}};

const LabelRule& rule_for(LabelScheme scheme, const std::string& task) {
  std::string defined;
  for (const LabelRule& rule : kRules) {
    if (rule.scheme != scheme) continue;
    if (std::strlen(rule.task) == 0 || task == rule.task) return rule;
    defined += (defined.empty() ? "" : ", ") + std::string(rule.task);
  }
  throw InputError(std::string("data.labels: found ") + to_string(scheme) + " with the task \"" +
                   task + "\"; allowed: native, or only tasks that it is defined for (" + defined +
                   ")");
}

}  // namespace

void check_label_scheme(LabelScheme scheme, const std::string& task) { rule_for(scheme, task); }

void apply_label_scheme(LabelScheme scheme, const std::string& task, const std::string& file,
                        int64_t classes, uint8_t* labels, int64_t count) {
  const LabelRule& rule = rule_for(scheme, task);
  const auto require_below = [&](int64_t bound, int64_t label, int64_t item) {
    if (label < bound) return;
    throw InputError(
        file + ": item " + std::to_string(item) + " (counted from 0) has label " +
        std::to_string(label) + "; allowed: 0 to " + std::to_string(bound - 1) +
        (bound == classes ? " (model.classes = " + std::to_string(classes) + ")" : std::string()));
  };
  for (int64_t i = 0; i < count; ++i) {
    if (rule.file_classes > 0) require_below(rule.file_classes, labels[i], i);
    const int64_t label = rule.map(labels[i]);
    require_below(classes, label, i);
    labels[i] = static_cast<uint8_t>(label);
  }
}

}  // namespace cdsp
