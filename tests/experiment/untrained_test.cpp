// The networks before their first step: what is evaluated, and what is kept.
#include "experiment/untrained.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/blind_eval.h"
#include "model/network.h"
#include "model/weights.h"
#include "support/catch.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;

Config config_of(const std::string& variant, uint64_t seed) {
  Config config = parse_config(tiny_yaml(variant), variant + ".yaml");
  config.seed = seed;
  return config;
}

bool go_on(double) { return true; }
bool give_up(double) { return false; }

}  // namespace

TEST_CASE("an untrained network is the one that training starts from", "[experiment]") {
  const TemporaryFolder folder;
  for (const char* variant : {"cdsp", "baseline", "blind"}) {
    CAPTURE(variant);
    const Config config = config_of(variant, 7);
    const Dataset data = load_dataset(config);
    const Network network(config, {data.test.rows, data.test.cols, data.test.tasks()}, at::kCPU);
    const fs::path weights = folder.path() / "initial.safetensors";
    write_safetensors(weights, weights_of(network));
    const auto protocols = all_protocols(3);
    const auto expected = blind_evaluate({config, weights}, data, {protocols[0], protocols[1]});

    const auto found = cached_untrained_networks(folder.path(), data, {{variant, config}}, go_on);
    REQUIRE(found.size() == 1);
    CHECK(found[0].arm == variant);
    CHECK(found[0].seed == 7);
    CHECK(found[0].informed_routing == expected[0].routing);
    CHECK(found[0].blind_routing == expected[1].routing);
    if (config.variant == Variant::kCdsp) {
      CHECK(found[0].alpha_sparsity == 0.0);
    } else {
      CHECK(std::isnan(found[0].alpha_sparsity));
    }
    // Weights of a file are where such a run starts.
    Config from_file = config_of(variant, 8);
    from_file.train.init_from = weights;
    CHECK(cached_untrained_networks(folder.path(), data, {{variant, from_file}}, go_on)[0]
              .informed_routing == expected[0].routing);
    // Other weights in the file are another start.
    write_safetensors(weights, weights_of(Network(
                                   config_of(variant, 9),
                                   {data.test.rows, data.test.cols, data.test.tasks()}, at::kCPU)));
    const auto again =
        cached_untrained_networks(folder.path(), data, {{variant, from_file}}, go_on);
    CHECK_FALSE(again[0].informed_routing.empty());
    CHECK(again[0].informed_routing != expected[0].routing);
    from_file.train.init_from = folder.path() / "gone.safetensors";
    CHECK(cached_untrained_networks(folder.path(), data, {{variant, from_file}}, go_on)[0]
              .informed_routing.empty());
  }
}

TEST_CASE("untrained networks are evaluated once and kept", "[experiment]") {
  const TemporaryFolder folder;
  const Config cdsp = config_of("cdsp", 1);
  Config control = cdsp;
  control.conflict.lambda = 0;
  control.optimizer.lr = 1e-4;
  control.router.task_dropout = 0.5;
  const std::vector<InitialNetwork> networks = {{"cdsp", cdsp}, {"control", control}};
  const Dataset data = load_dataset(cdsp);
  // The two start from the same weights.
  CHECK(untrained_networks_to_do(folder.path(), data, networks) == 1);
  CHECK_THROWS_AS(cached_untrained_networks(folder.path(), data, networks, give_up), WorkError);
  CHECK_FALSE(fs::exists(folder.path() / "untrained.json"));
  double last = -1.0;
  const auto made = cached_untrained_networks(folder.path(), data, networks, [&](double share) {
    CHECK(share > last);
    last = share;
    return true;
  });
  CHECK(last == 1.0);
  CHECK(made[0].blind_routing == made[1].blind_routing);
  CHECK(made[1].arm == "control");
  CHECK(untrained_networks_to_do(folder.path(), data, networks) == 0);
  const auto time = fs::last_write_time(folder.path() / "untrained.json");
  const auto kept = cached_untrained_networks(folder.path(), data, networks, give_up);
  CHECK(kept[0].informed_routing == made[0].informed_routing);
  CHECK(kept[0].alpha_sparsity == made[0].alpha_sparsity);
  CHECK(fs::last_write_time(folder.path() / "untrained.json") == time);

  // What makes other weights, another network or other images is evaluated anew.
  for (const auto& change : std::vector<void (*)(Config&)>{
           [](Config& c) { c.seed = 2; }, [](Config& c) { c.model.d_model = 32; },
           [](Config& c) { c.moe.top_k = 1; },
           [](Config& c) { c.router.norm = RouterNorm::kSequence; },
           [](Config& c) { c.topology.init = TopologyInit::kSelfLoop; },
           [](Config& c) { c.variant = Variant::kBaseline; }}) {
    Config other = cdsp;
    change(other);
    CHECK(untrained_networks_to_do(folder.path(), data, {{"cdsp", other}}) == 1);
  }
  Config other = cdsp;
  other.data.glyphs_test = 30;
  CHECK(untrained_networks_to_do(folder.path(), load_dataset(other), networks) == 1);
  write_file_atomically(folder.path() / "untrained.json", "{\"networks\": 3}");
  CHECK(untrained_networks_to_do(folder.path(), data, networks) == 1);
}
