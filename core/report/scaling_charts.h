// The cost of a training step along one axis as a chart: measured, the floor of its matrix
// products, and the line that a proportional cost would follow.
#pragma once

#include <string>
#include <vector>

#include "experiment/bench_scaling.h"

namespace cdsp {

/// Both axes logarithmic. Per variant a solid line with the spread of the measurements and a dashed
/// line for the floor; the guide has slope 1, on the axis of threads slope -1, and starts at the
/// first variant's first point. `points` may hold other axes too; throws InputError if it holds
/// none of `axis`.
std::string scaling_chart_svg(const std::vector<ScalingPoint>& points, ScalingAxis axis);

}  // namespace cdsp
