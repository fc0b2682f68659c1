// The resolved config as text.
#include <nlohmann/json.hpp>

#include "config/keys.h"
#include "config/yaml_text.h"
#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

/// A config in which every key differs from its default.
Config config_unlike_default() {
  return parse_config(R"(
variant: blind
seed: 18446744073709551615
model: {dtype: float64, d_model: 96, layers: 3, heads: 6, kv_heads: 3, patch_size: 7, classes: 12, head_bias: false,
        head_init: normal}
moe: {num_experts: 5, top_k: 3, d_base: 100, rank: 17, d_ffn: 20}
topology: {init: self_loop, init_std: 0.3}
router: {task_embedding: 4, norm: sequence, task_dropout: 0.30000000000000004, dropout_unit: batch}
conflict: {lambda: 1.0e+9, penalty: sigmoid, gradient: u, l1: 5.0e-324, determinism: 123456789.01234567}
balance: {kind: cv2, lambda: 0.1}
optimizer: {lr: 1.0e-5, topology_lr: 123456789.0, weight_decay: 0, clip_norm: 3}
data: {source: glyphs, root: "with \"quotes\", spaces: and é\n", tasks: [objects], labels: native, limit_per_task: 5,
       order_file: 'null', glyphs_train: 1, glyphs_test: 2}
train: {epochs: 1, batch_size: 2, max_steps: 3, log_every: 4, checkpoint_every: 5, eval_batch_size: 6,
        init_from: "1.5", device: "cuda:1", threads: 8, engine: fused, step: eager,
        precision: bf16}
)",
                      "x.yaml");
}

}  // namespace

TEST_CASE("the resolved config lists every key in groups, and reads back as the same text") {
  const std::string yaml = to_yaml(Config{});
  CHECK(yaml.find("variant: cdsp\nseed: 0\nmodel:\n  dtype: float32\n  d_model: 64\n") == 0);
  CHECK(yaml.find("\n  tasks: [mnist, kmnist, fashion-mnist]\n") != std::string::npos);
  CHECK(yaml.find("\n  rank: auto\n") != std::string::npos);
  CHECK(yaml.find("\n  order_file: null\n") != std::string::npos);
  CHECK(to_yaml(parse_config(yaml, "x.yaml")) == yaml);
}

TEST_CASE("a config in which everything differs reads back as the same text") {
  const Config config = config_unlike_default();
  const std::string yaml = to_yaml(config);
  INFO(yaml);
  CHECK(to_yaml(parse_config(yaml, "x.yaml")) == yaml);
  CHECK(parse_config(yaml, "x.yaml").data.root == config.data.root);
  CHECK(parse_config(yaml, "x.yaml").train.init_from == "1.5");
  CHECK(parse_config(yaml, "x.yaml").data.order_file == "null");

  const auto defaults = flatten(Config{});
  const auto values = flatten(config);
  for (size_t i = 0; i < values.size(); ++i) {
    INFO(values[i].first);
    const bool is_tied = values[i].first == "data.sampling" || values[i].first == "data.labels";
    CHECK((is_tied || values[i].second != defaults[i].second));
  }
}

TEST_CASE("flatten lists every key of the registry in its order") {
  const auto values = flatten(Config{});
  REQUIRE(values.size() == config_keys().size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i].first == config_keys()[i].name());
  CHECK(values[0] == std::make_pair(std::string("variant"), std::string("cdsp")));
}

TEST_CASE("every flattened value works as an override") {
  std::vector<std::string> overrides;
  const Config config = config_unlike_default();
  for (const auto& [key, value] : flatten(config)) overrides.push_back(key + "=" + value);
  CHECK(to_yaml(parse_config("seed: 1\n", "x.yaml", overrides)) == to_yaml(config));
}

TEST_CASE("numbers are the shortest text that reads back, always with a point") {
  const std::vector<std::pair<double, std::string>> cases = {
      {0.0, "0.0"},        {10.0, "10.0"},    {0.1, "0.1"},         {1e-3, "0.001"},
      {1e-5, "1.0e-5"},    {1e22, "1.0e+22"}, {1.5e-10, "1.5e-10"}, {1.0 / 3, "0.3333333333333333"},
      {5e-324, "5.0e-324"}};
  for (const auto& [value, text] : cases) {
    CHECK(number_text(value) == text);
    CHECK(parse_number(text) == value);
  }
}

TEST_CASE("text is quoted where a YAML reader could take it for something else") {
  for (const std::string text : {"data", "./data", "../a", "/a/x-1_2.txt", "a.b", "nulls", "_x"})
    CHECK(scalar_text(text) == text);
  for (const std::string text :
       {"null", "True", "yes", "NO",   "on", "y",   "1", "1.5", "2024-01-01", "1e5", ".5",
        ".inf", "-a",   "a b", "a: b", "#a", "[a]", "~", "",    "cuda:0",     "é"}) {
    INFO(text);
    CHECK(scalar_text(text) == "\"" + text + "\"");
  }
  CHECK(scalar_text("a\"b\\c\n\x01") == "\"a\\\"b\\\\c\\x0a\\x01\"");
}

TEST_CASE("the JSON object holds the same values, nested like the file") {
  const auto json = nlohmann::json::parse(to_json(config_unlike_default()));
  CHECK(json["variant"] == "blind");
  CHECK(json["seed"] == 18446744073709551615u);
  CHECK(json["moe"]["rank"] == 17);
  CHECK(json["model"]["head_bias"] == false);
  CHECK(json["conflict"]["l1"] == 5e-324);
  CHECK(json["data"]["tasks"] == nlohmann::json::array({"objects"}));
  const auto defaults = nlohmann::json::parse(to_json(Config{}));
  CHECK(defaults["moe"]["rank"] == "auto");
  CHECK(defaults["data"]["order_file"].is_null());
  size_t count = 0;
  for (const auto& value : defaults) count += value.is_object() ? value.size() : 1;
  CHECK(count == config_keys().size());
}
