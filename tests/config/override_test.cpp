// KEY=VALUE on top of a file.
#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("overrides are read as YAML values, in order, after the file") {
  const Config config =
      parse_config("seed: 1\nmoe: {rank: 32}\ndata: {order_file: o.txt}\n", "x.yaml",
                   {"seed=3", "moe.rank=auto", "data.tasks=[mnist,kmnist]", "data.order_file=null",
                    "optimizer.lr=1e-2", "model.head_bias=false", "variant=blind", "seed=4"});
  CHECK(config.seed == 4);
  CHECK_FALSE(config.moe.rank.has_value());
  CHECK(config.data.tasks == std::vector<std::string>{"mnist", "kmnist"});
  CHECK_FALSE(config.data.order_file.has_value());
  CHECK(config.optimizer.lr == 0.01);
  CHECK_FALSE(config.model.head_bias);
  CHECK(config.variant == Variant::kBlind);
}

TEST_CASE("an override may contain spaces, equals signs and quotes in its value") {
  CHECK(parse_config("seed: 1\n", "x.yaml", {" seed = 5 "}).seed == 5);
  CHECK(parse_config("seed: 1\n", "x.yaml", {"data.root=a=b"}).data.root == "a=b");
  CHECK(parse_config("seed: 1\n", "x.yaml", {"data.root=\"5\""}).data.root == "5");
}

TEST_CASE("an override without a key or a value is refused") {
  const std::string allowed = "; allowed: KEY=VALUE, as in moe.top_k=1";
  CHECK(override_error("seed") == "--set: found \"seed\"" + allowed);
  CHECK(override_error("") == "--set: found \"\"" + allowed);
  CHECK(override_error("=5") == "--set: found \"=5\"" + allowed);
  CHECK(override_error("seed=") ==
        "--set: seed: found nothing; allowed: an integer from 0 to 18446744073709551615");
}

TEST_CASE("a bad override names --set, the key, what was found and what is allowed") {
  CHECK(override_error("moe.topk=1") ==
        "--set: moe.topk: found no such key; did you mean moe.top_k?");
  CHECK(override_error("moe.top_k=1.5") ==
        "--set: moe.top_k: found 1.5; allowed: an integer from 1 to 4096");
  CHECK(override_error("moe={top_k: 1}") ==
        "--set: moe: found a section; allowed: one of its keys, moe.KEY=VALUE with KEY of "
        "num_experts, top_k, "
        "d_base, rank, d_ffn");
  CHECK(override_error("base=other.yaml") ==
        "--set: base: found in an override; allowed: in config files only");
  CHECK_THAT(override_error("data.tasks=[mnist"),
             ContainsSubstring("--set: data.tasks: is not valid YAML: "));
  CHECK_THAT(override_error("data.tasks=[a,\na]"),
             ContainsSubstring("--set: data.tasks: found \"a\" twice"));
  CHECK(override_error("data.root=\xff") ==
        "--set: data.root: found bytes that are no UTF-8 text; allowed: YAML");
  CHECK(override_error("seed=1: 2").find("--set: seed: ") == 0);
}

TEST_CASE("an override cannot save a file with a mistake") {
  CHECK(error_of("moe: {top_k: 0}\n", {"moe.top_k=2"}) ==
        "x.yaml:1: moe.top_k: found 0; allowed: an integer from 1 to 4096");
}

TEST_CASE("an override can make a combination valid that the file alone is not") {
  CHECK(error_of("moe: {top_k: 9}\n", {"moe.num_experts=16"}).empty());
}
