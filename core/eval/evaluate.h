// A network's answers and routing on a whole split, under one or more protocols side by side.
#pragma once

#include <functional>
#include <vector>

#include "eval/protocol.h"
#include "model/network.h"
#include "train/device_split.h"

namespace cdsp {

/// [layer][task][expert]: share of the k selections of that task's tokens; rows sum to 1.
using RoutingTable = std::vector<std::vector<std::vector<double>>>;

struct Evaluation {
  Protocol protocol;
  std::vector<double> accuracy;  // per task, fraction
  std::vector<double> loss;      // per task, mean cross entropy
  std::vector<double> images;    // per task
  RoutingTable routing;
  /// Against the first protocol asked for, per layer and task: share of tokens whose set of k
  /// experts is the same, and the mean Jaccard index of the two sets. 1 for the first protocol
  /// itself.
  std::vector<std::vector<double>> same_route;
  std::vector<std::vector<double>> route_jaccard;

  double total_accuracy() const;  // over all images
  double total_loss() const;
};

/// Evaluates all images of `split`; `keep_going` is asked between batches and stops the work by
/// returning false (WorkError). Every task must have at least one image.
std::vector<Evaluation> evaluate(const Network& network, const DeviceSplit& split,
                                 const std::vector<Protocol>& protocols, int64_t batch_size,
                                 const std::function<bool()>& keep_going = {});

}  // namespace cdsp
