#include "train/step_metrics.h"

#include <cmath>
#include <numeric>
#include <utility>

namespace cdsp {

double StepMetrics::accuracy() const {
  const double count = std::accumulate(task_count.begin(), task_count.end(), 0.0);
  return std::accumulate(task_correct.begin(), task_correct.end(), 0.0) / count;
}

std::optional<double> StepMetrics::task_accuracy(size_t task) const {
  if (task_count[task] == 0.0) return std::nullopt;
  return task_correct[task] / task_count[task];
}

std::string first_non_finite(const StepMetrics& metrics) {
  const std::pair<const char*, double> terms[] = {
      {"loss_task", metrics.loss_task},   {"loss_conflict", metrics.loss_conflict},
      {"loss_reg", metrics.loss_reg},     {"loss_balance", metrics.loss_balance},
      {"loss_total", metrics.loss_total}, {"grad_norm", metrics.grad_norm}};
  for (const auto& [name, value] : terms) {
    if (!std::isfinite(value)) return name;
  }
  return {};
}

}  // namespace cdsp
