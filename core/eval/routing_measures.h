// Measures of a routing table P [tasks][experts], rows summing to 1 (spec section 10).
#pragma once

#include <cstddef>
#include <vector>

namespace cdsp {

using RoutingRows = std::vector<std::vector<double>>;

/// Jensen-Shannon divergence of two distributions, in bits, 0 to 1.
double jensen_shannon(const std::vector<double>& a, const std::vector<double>& b);
/// Total variation, half the L1 distance, 0 to 1.
double total_variation(const std::vector<double>& a, const std::vector<double>& b);
/// Pearson correlation; NaN where a row is constant.
double pearson(const std::vector<double>& a, const std::vector<double>& b);

/// (JS(0,2) + JS(1,2)) / 2 - JS(0,1): positive when the two symbol tasks (rows 0 and 1) share
/// experts and the object task (row 2) does not. Needs exactly three tasks; NaN otherwise.
double separation_index(const RoutingRows& table);

/// I(task; expert) / H(task) with equally likely tasks; 0 = routing ignores the task, 1 = it tells
/// it. NaN with one task.
double normalised_mutual_information(const RoutingRows& table);

/// H(task | expert) in bits for each expert, tasks equally likely; NaN for an expert nobody
/// selects.
std::vector<double> task_entropy_of_experts(const RoutingRows& table);

/// Index of each task's most selected expert, the lowest among equals.
std::vector<size_t> preferred_experts(const RoutingRows& table);

/// (std / mean)^2 of the experts' load averaged over tasks, population std; 0 = balanced.
double load_cv2(const RoutingRows& table);

}  // namespace cdsp
