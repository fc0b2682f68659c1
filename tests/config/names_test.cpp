// Names that are no keys, and what they may have been meant to be.
#include "config/suggest.h"
#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("an unknown key names the nearest one") {
  const std::vector<BadConfig> cases = {
      {"sed: 1\n", "x.yaml:1: sed: found no such key; did you mean seed?"},
      {"Variant: cdsp\n", "x.yaml:1: Variant: found no such key; did you mean variant?"},
      {"seed: 1\nmoe:\n  topk: 1\n",
       "x.yaml:3: moe.topk: found no such key; did you mean moe.top_k?"},
      {"moe: {topK: 1}\n", "x.yaml:1: moe.topK: found no such key; did you mean moe.top_k?"},
      {"model: {haeds: 1}\n",
       "x.yaml:1: model.haeds: found no such key; did you mean model.heads?"},
      {"train: {batchsize: 1}\n",
       "x.yaml:1: train.batchsize: found no such key; did you mean train.batch_size?"},
      {"bsae: a.yaml\n", "x.yaml:1: bsae: found no such key; did you mean base?"},
  };
  for (const auto& [yaml, message] : cases) {
    INFO(yaml);
    CHECK(error_of(yaml) == message);
  }
}

TEST_CASE("an unknown section names the nearest one") {
  CHECK(error_of("modle:\n  heads: 4\n") ==
        "x.yaml:1: modle: found no such key; did you mean model?");
  CHECK(error_of("seed: 1\noptimiser: {lr: 1.0e-3}\n") ==
        "x.yaml:2: optimiser: found no such key; did you mean optimizer?");
  CHECK(override_error("modle.heads=4") ==
        "--set: modle.heads: found no such key; did you mean model.heads?");
}

TEST_CASE("a key in the wrong place names its right place") {
  CHECK(error_of("moe:\n  task_dropout: 0.1\n") ==
        "x.yaml:2: moe.task_dropout: found no such key; did you mean router.task_dropout?");
  CHECK(error_of("top_k: 1\n") == "x.yaml:1: top_k: found no such key; did you mean moe.top_k?");
  CHECK(error_of("batch-size: 1\n") ==
        "x.yaml:1: batch-size: found no such key; did you mean train.batch_size?");
  CHECK(
      error_of("model: {lambda: 1}\n") ==
      "x.yaml:1: model.lambda: found no such key; did you mean conflict.lambda or balance.lambda?");
  CHECK(override_error("conflit.lambda=1") ==
        "--set: conflit.lambda: found no such key; did you mean conflict.lambda?");
  CHECK(override_error("variant.seed=1") ==
        "--set: variant.seed: found no such key; did you mean seed?");
}

TEST_CASE("a name near nothing lists what its place allows") {
  CHECK(error_of("moe: {xyzzy: 1}\n") ==
        "x.yaml:1: moe.xyzzy: found no such key; allowed in moe: num_experts, top_k, d_base, rank, "
        "d_ffn");
  CHECK(error_of("xyzzy: 1\n") ==
        "x.yaml:1: xyzzy: found no such key; allowed: variant, seed, base, model, moe, topology, "
        "router, "
        "conflict, balance, optimizer, data, train");
  CHECK(error_of("moe: {k: 1}\n") ==
        "x.yaml:1: moe.k: found no such key; allowed in moe: num_experts, top_k, d_base, rank, "
        "d_ffn");
}

TEST_CASE("a dotted name in a file shows how to write it") {
  CHECK(error_of("moe.rank: 5\n") ==
        "x.yaml:1: moe.rank: found a dotted name; allowed: moe: {rank: ...}");
}

TEST_CASE("a section holds keys") {
  const std::string keys = "; allowed: a section with keys of init, init_std";
  CHECK(error_of("topology: self_loop\n") ==
        "x.yaml:1: topology: found the text \"self_loop\"" + keys);
  CHECK(error_of("topology:\nseed: 1\n") == "x.yaml:1: topology: found nothing" + keys);
  CHECK(error_of("topology: [init]\n") == "x.yaml:1: topology: found a list" + keys);
}

TEST_CASE("a very long unknown name is cut in the message") {
  const std::string message = error_of("moe: {" + std::string(500, 'y') + ": 1}\n");
  CHECK(message.size() < 200);
  CHECK(message.find("found no such key") != std::string::npos);
}

TEST_CASE("the distance of words counts edits and swaps, not upper case") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("heads", "heads") == 0);
  CHECK(edit_distance("haeds", "heads") == 1);
  CHECK(edit_distance("topk", "top_k") == 1);
  CHECK(edit_distance("TOPK", "top_k") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
}
