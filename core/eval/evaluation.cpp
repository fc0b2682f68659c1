#include "eval/evaluation.h"

#include <numeric>

namespace cdsp {
namespace {

double weighted_mean(const std::vector<double>& values, const std::vector<double>& weights) {
  return std::inner_product(values.begin(), values.end(), weights.begin(), 0.0) /
         std::accumulate(weights.begin(), weights.end(), 0.0);
}

}  // namespace

double Evaluation::total_accuracy() const { return weighted_mean(accuracy, images); }
double Evaluation::total_loss() const { return weighted_mean(loss, images); }

}  // namespace cdsp
