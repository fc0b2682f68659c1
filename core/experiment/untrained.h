// The networks of a comparison before their first step, judged like the trained ones: what a router
// at its initial weights does already is nothing that training brought about.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "eval/evaluation.h"

namespace cdsp {

/// A run whose initial weights are wanted: its arm, and its config with the run's own seed.
struct InitialNetwork {
  std::string arm;
  Config config;
};

struct UntrainedNetwork {
  std::string arm;
  uint64_t seed = 0;
  /// All test images; empty where the file of train.init_from is gone.
  RoutingTable informed_routing, blind_routing;
  /// Mean over layers; NaN without a topology.
  double alpha_sparsity = std::numeric_limits<double>::quiet_NaN();
};

/// Evaluates each network told and not told the task, one result for each. What OUT/untrained.json
/// has of equal initial weights on equal data is taken from there, and networks that agree in them
/// are evaluated once; the rest is kept there as soon as it is known. `keep_going` is told the
/// share done, from 0 to 1, between batches, and stops the work by returning false (WorkError).
std::vector<UntrainedNetwork> cached_untrained_networks(
    const std::filesystem::path& out, const Dataset& data,
    const std::vector<InitialNetwork>& networks, const std::function<bool(double)>& keep_going);

/// How many networks that call would have to evaluate.
int64_t untrained_networks_to_do(const std::filesystem::path& out, const Dataset& data,
                                 const std::vector<InitialNetwork>& networks);

}  // namespace cdsp
