// A network's answers and routing on a whole split, under one or more protocols side by side.
#pragma once

#include <functional>
#include <vector>

#include "eval/evaluation.h"
#include "model/network.h"
#include "train/device_split.h"

namespace cdsp {

/// Evaluates all images of `split`; `keep_going` is asked between batches and stops the work by
/// returning false (WorkError). Every task must have at least one image.
std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool()>& keep_going = {});

}  // namespace cdsp
