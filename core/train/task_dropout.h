// Task dropout (paper Eq. 11): in training the task is withheld with probability p, so that the
// router learns to do without it.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"

namespace cdsp {

/// For each of a batch's images whether it keeps its task (1.0) or not (0.0). `sample` draws for
/// every image (paper), `batch` once for all (released code). Draws from the stream (seed, step),
/// so that the choice depends on nothing else.
std::vector<double> draw_task_kept(const RouterConfig& config, uint64_t seed, int64_t step,
                                   int64_t batch);

}  // namespace cdsp
