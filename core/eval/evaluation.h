// What an evaluation comes to: accuracy, loss and routing of one protocol on a whole split.
#pragma once

#include <vector>

#include "eval/protocol.h"

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

}  // namespace cdsp
