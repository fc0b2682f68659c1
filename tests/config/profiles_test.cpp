// The configs that ship with the program.
#include <map>
#include <set>

#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;

namespace {

Config shipped(const std::string& profile, const std::string& variant) {
  return load_config(std::string(CDSP_TEST_SOURCE_DIR) + "/../configs/" + profile + "/" + variant +
                     ".yaml");
}

using Difference = std::map<std::string, std::pair<std::string, std::string>>;

Difference difference(const Config& a, const Config& b) {
  Difference result;
  const auto left = flatten(a);
  const auto right = flatten(b);
  for (size_t i = 0; i < left.size(); ++i)
    if (left[i].second != right[i].second)
      result[left[i].first] = {left[i].second, right[i].second};
  return result;
}

const std::vector<std::string> kVariants = {"cdsp", "baseline", "blind"};

}  // namespace

TEST_CASE("every shipped config loads and is of the variant that its name says") {
  for (const std::string profile : {"paper", "reference", "smoke"})
    for (const std::string& variant : kVariants) {
      INFO(profile << "/" << variant);
      CHECK(to_string(shipped(profile, variant).variant) == variant);
    }
}

TEST_CASE("the paper profile is the defaults") {
  for (const std::string& variant : kVariants) {
    Difference expected;
    if (variant != "cdsp") expected["variant"] = {"cdsp", variant};
    CHECK(difference(Config{}, shipped("paper", variant)) == expected);
  }
}

TEST_CASE("the defaults are the values of the paper") {
  const Config config;
  CHECK(config.moe.resolved_rank() == 90);
  CHECK(config.moe.block_width() == 32);
  CHECK(config.moe.num_experts * config.moe.d_ffn == config.moe.d_base);
  CHECK(config.optimizer.topology_lr == 10 * config.optimizer.lr);
}

TEST_CASE("the reference profile differs from the paper's in the listed keys and no others") {
  const Difference common = {
      {"topology.init", {"max_entropy", "self_loop"}},
      {"router.norm", {"token", "sequence"}},
      {"router.dropout_unit", {"sample", "batch"}},
      {"conflict.penalty", {"logit", "gated_logit"}},
      {"conflict.gradient", {"uv", "u"}},
      {"conflict.determinism", {"0.0", "0.01"}},
      {"balance.kind", {"switch", "cv2"}},
      {"data.labels", {"native", "coarse"}},
      {"train.batch_size", {"128", "64"}},
  };
  Difference baselines = common;
  baselines["optimizer.clip_norm"] = {"1.0", "0.0"};
  Difference cdsp = common;
  cdsp["model.head_bias"] = {"true", "false"};
  cdsp["model.head_init"] = {"uniform", "normal"};
  CHECK(difference(shipped("paper", "baseline"), shipped("reference", "baseline")) == baselines);
  CHECK(difference(shipped("paper", "blind"), shipped("reference", "blind")) == baselines);
  CHECK(difference(shipped("paper", "cdsp"), shipped("reference", "cdsp")) == cdsp);
}

TEST_CASE("the smoke profile changes data and length only, the same for all variants") {
  const std::set<std::string> allowed = {"data.source",      "data.tasks",   "data.glyphs_train",
                                         "data.glyphs_test", "train.epochs", "train.log_every",
                                         "train.batch_size"};
  const Difference first = difference(shipped("paper", "cdsp"), shipped("smoke", "cdsp"));
  for (const auto& entry : first) CHECK(allowed.count(entry.first) == 1);
  for (const std::string& variant : kVariants)
    CHECK(difference(shipped("paper", variant), shipped("smoke", variant)) == first);
  CHECK(shipped("smoke", "cdsp").data.source == DataSource::kGlyphs);
}

TEST_CASE("the variants of the paper profile differ in nothing but the variant") {
  for (const std::string variant : {"baseline", "blind"})
    CHECK(difference(shipped("paper", "cdsp"), shipped("paper", variant)).size() == 1);
}
