#include "experiment/untrained.h"

#include <map>
#include <set>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_number.h"
#include "eval/evaluate.h"
#include "experiment/fingerprint.h"
#include "model/topology.h"
#include "model/weights.h"
#include "train/runtime.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;

/// Whether initial weights, or the answers of a network that has them, depend on the key.
bool shapes_the_start(const std::string& key) {
  for (const char* section : {"model.", "moe.", "topology."}) {
    if (key.rfind(section, 0) == 0) return true;
  }
  return key == "variant" || key == "seed" || key == "router.task_embedding" ||
         key == "router.norm" || key == "train.init_from" || key == "train.engine" ||
         key == "train.precision";
}

Json made_of(const Config& config, const Dataset& data) {
  Json json;
  json["results_version"] = kResultsVersion;
  json["data_fingerprint"] = data.fingerprint;
  for (const auto& [key, value] : flatten(config)) {
    if (shapes_the_start(key)) json["config"][key] = value;
  }
  const auto files = input_fingerprints(config);
  const auto weights = files.find("train.init_from");
  if (weights != files.end()) json["init_from_sha256"] = weights->second;
  return json;
}

/// Results by what they were made of (its JSON as text).
using Known = std::map<std::string, UntrainedNetwork>;

Known read_cache(const fs::path& file) {
  Known known;
  if (!fs::exists(file)) return known;
  const Json kept = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  try {
    for (const Json& entry : kept.at("networks")) {
      UntrainedNetwork network;
      network.alpha_sparsity = number_from_json(entry.at("alpha_sparsity"));
      entry.at("informed_routing").get_to(network.informed_routing);
      entry.at("blind_routing").get_to(network.blind_routing);
      known[entry.at("made_of").dump()] = network;
    }
  } catch (const nlohmann::json::exception&) {
    known.clear();  // Not what is written below: made anew.
  }
  return known;
}

/// The wanted networks as far as they are known.
std::string cache_text(const std::vector<InitialNetwork>& networks, const Dataset& data,
                       const Known& known) {
  Json json;
  json["format"] = kFormat;
  json["tasks"] = data.task_names;
  json["networks"] = Json::array();
  for (const InitialNetwork& network : networks) {
    const Json origin = made_of(network.config, data);
    const auto found = known.find(origin.dump());
    if (found == known.end() || found->second.informed_routing.empty()) continue;
    const UntrainedNetwork& result = found->second;
    Json entry;
    entry["arm"] = network.arm;
    entry["seed"] = network.config.seed;
    entry["made_of"] = origin;
    entry["alpha_sparsity"] = number_json(result.alpha_sparsity);
    entry["informed_routing"] = result.informed_routing;
    entry["blind_routing"] = result.blind_routing;
    json["networks"].push_back(entry);
  }
  return json.dump(1) + "\n";
}

UntrainedNetwork evaluate_untrained(const Config& config, const Dataset& data,
                                    const std::function<bool(double)>& keep_going) {
  UntrainedNetwork result;
  if (config.train.init_from && !fs::exists(*config.train.init_from)) return result;
  use_threads(config.train.threads);
  const at::Device device = resolve_device(config.train.device);
  const Network network(config, {data.test.rows, data.test.cols, data.test.tasks()}, device);
  if (config.train.init_from) load_weights(network, *config.train.init_from);
  const auto evaluations = evaluate(network, place(data.test, device),
                                    {{Protocol::Kind::kInformed, 0}, {Protocol::Kind::kBlind, 0}},
                                    config.train.eval_batch_size, keep_going);
  result.informed_routing = evaluations[0].routing;
  result.blind_routing = evaluations[1].routing;
  const auto alphas = network.alphas();
  if (alphas.empty()) return result;
  result.alpha_sparsity = 0.0;
  for (const at::Tensor& alpha : alphas) {
    result.alpha_sparsity +=
        alpha_sparsity(alpha).item<double>() / static_cast<double>(alphas.size());
  }
  return result;
}

}  // namespace

int64_t untrained_networks_to_do(const fs::path& out, const Dataset& data,
                                 const std::vector<InitialNetwork>& networks) {
  const Known known = read_cache(out / "untrained.json");
  std::set<std::string> missing;
  for (const InitialNetwork& network : networks) {
    const std::string key = made_of(network.config, data).dump();
    if (known.count(key) == 0) missing.insert(key);
  }
  return static_cast<int64_t>(missing.size());
}

std::vector<UntrainedNetwork> cached_untrained_networks(
    const fs::path& out, const Dataset& data, const std::vector<InitialNetwork>& networks,
    const std::function<bool(double)>& keep_going) {
  const fs::path file = out / "untrained.json";
  Known known = read_cache(file);
  const auto to_do = static_cast<double>(untrained_networks_to_do(out, data, networks));
  std::vector<UntrainedNetwork> results;
  double done = 0.0;
  for (const InitialNetwork& wanted : networks) {
    const std::string key = made_of(wanted.config, data).dump();
    if (known.count(key) == 0) {
      known[key] = evaluate_untrained(
          wanted.config, data, [&](double share) { return keep_going((done + share) / to_do); });
      done += 1.0;
      write_file_atomically(file, cache_text(networks, data, known));
    }
    results.push_back(known.at(key));
    results.back().arm = wanted.arm;
    results.back().seed = wanted.config.seed;
  }
  // What earlier calls kept for other networks goes.
  const std::string text = cache_text(networks, data, known);
  if (!fs::exists(file) || read_file(file) != text) write_file_atomically(file, text);
  if (to_do > 0.0) keep_going(1.0);
  return results;
}

}  // namespace cdsp
