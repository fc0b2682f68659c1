// Rules that tie keys together.
#include <limits>

#include "config_errors.h"
#include "data/glyphs.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;

TEST_CASE("query heads share the key/value heads evenly") {
  CHECK(error_of("model:\n  heads: 6\n  d_model: 48\n  kv_heads: 4\n") ==
        "x.yaml:4: model.heads: found 6; allowed: a multiple of model.kv_heads = 4");
  CHECK(error_of("model:\n  kv_heads: 8\n") ==
        "x.yaml:2: model.heads: found 4; allowed: a multiple of model.kv_heads = 8");
}

TEST_CASE("heads share the width evenly, and rotary pairs need an even head width") {
  CHECK(error_of("model:\n  d_model: 66\n") ==
        "x.yaml:2: model.d_model: found 66; allowed: a multiple of model.heads = 4");
  CHECK(error_of("seed: 1\nmodel:\n  d_model: 12\n") ==
        "x.yaml:3: model.d_model: found 12; allowed: an even head width d_model / heads (rotary "
        "pairs); "
        "model.heads = 4 gives 3");
}

TEST_CASE("a token takes no more experts than there are") {
  CHECK(error_of("moe:\n  top_k: 9\n") ==
        "x.yaml:2: moe.top_k: found 9; allowed: at most moe.num_experts = 8");
  CHECK(error_of("moe:\n  num_experts: 1\n") ==
        "x.yaml:2: moe.top_k: found 2; allowed: at most moe.num_experts = 1");
}

TEST_CASE("every expert owns a physical dimension") {
  CHECK(error_of("moe:\n  d_base: 7\n") ==
        "x.yaml:2: moe.d_base: found 7; allowed: at least moe.num_experts = 8");
}

TEST_CASE("the rank is at most the physical width") {
  CHECK(error_of("moe:\n  rank: 257\n") ==
        "x.yaml:2: moe.rank: found 257; allowed: at most moe.d_base = 256");
  CHECK(error_of("moe: {rank: 256}\n").empty());
}

TEST_CASE("a rule blames the place that was given last") {
  CHECK(error_of("moe: {top_k: 4}\n", {"moe.num_experts=3"}) ==
        "--set: moe.top_k: found 4; allowed: at most moe.num_experts = 3");
  CHECK(error_of("moe: {num_experts: 3}\n", {"moe.top_k=4"}) ==
        "--set: moe.top_k: found 4; allowed: at most moe.num_experts = 3");
}

TEST_CASE("source glyphs draws its own tasks where none are given") {
  CHECK(parse_config("data: {source: glyphs}\n", "x.yaml").data.tasks ==
        std::vector<std::string>{"strokes", "cursive", "objects"});
  CHECK(parse_config("seed: 1\n", "x.yaml", {"data.source=glyphs"}).data.tasks ==
        std::vector<std::string>{"strokes", "cursive", "objects"});
  CHECK(parse_config("data: {source: glyphs, tasks: [objects, strokes]}\n", "x.yaml").data.tasks ==
        std::vector<std::string>{"objects", "strokes"});
}

TEST_CASE("source glyphs refuses tasks it cannot draw") {
  CHECK(error_of("data:\n  source: glyphs\n  tasks: [strokes, mnist]\n") ==
        "x.yaml:3: data.tasks: found the task \"mnist\"; allowed: the tasks that data.source "
        "glyphs draws: "
        "strokes, cursive, objects");
}

TEST_CASE("the config knows every task that glyphs can draw") {
  std::vector<std::string> drawn;
  for (const GlyphTask& task : glyph_tasks()) drawn.emplace_back(task.name);
  CHECK(glyph_task_names() == drawn);
}

TEST_CASE("coarse labels are for the tasks that have them") {
  const std::string why = " (coarse labels are defined for mnist, kmnist and fashion-mnist)";
  CHECK(error_of("data:\n  labels: coarse\n  tasks: [mnist, letters]\n") ==
        "x.yaml:3: data.labels: found coarse; allowed: native for the task \"letters\"" + why);
  CHECK(error_of("data:\n  source: glyphs\n  labels: coarse\n") ==
        "x.yaml:3: data.labels: found coarse; allowed: native for the task \"strokes\"" + why);
  CHECK(error_of("data: {labels: coarse, tasks: [fashion-mnist]}\n").empty());
}

TEST_CASE("an order file decides the order alone") {
  CHECK(error_of("data:\n  order_file: order.txt\n  sampling: balanced\n") ==
        "x.yaml:3: data.sampling: found balanced; allowed: concat where data.order_file gives the "
        "order");
}

TEST_CASE("validate checks ranges and rules of a config made in the program") {
  const auto message = [](const Config& config) -> std::string {
    try {
      validate(config, "here");
      return "";
    } catch (const InputError& error) {
      return error.what();
    }
  };
  CHECK(message(Config{}).empty());
  Config config;
  config.moe.top_k = 9;
  CHECK(message(config) == "here: moe.top_k: found 9; allowed: at most moe.num_experts = 8");
  config = Config{};
  config.optimizer.lr = std::numeric_limits<double>::quiet_NaN();
  CHECK(message(config) == "here: optimizer.lr: found .nan; allowed: a number above 0 to 1.0e+9");
  config = Config{};
  config.data.tasks = {"a", "a"};
  CHECK(message(config) ==
        "here: data.tasks: found \"a\" twice; allowed: a list of names, each once (1 to 64 "
        "letters, digits, - or _)");
  config = Config{};
  config.train.device = "gpu";
  CHECK(message(config) ==
        "here: train.device: found the text \"gpu\"; allowed: auto, cpu, cuda or cuda:N");
}

TEST_CASE("the automatic rank is the integer part of D over the root of N") {
  const auto rank = [](int64_t d_base, int64_t experts) {
    MoeConfig moe;
    moe.d_base = d_base;
    moe.num_experts = experts;
    return moe.resolved_rank();
  };
  CHECK(rank(256, 8) == 90);
  CHECK(rank(256, 4) == 128);
  CHECK(rank(256, 1) == 256);
  CHECK(rank(10, 9) == 3);
  CHECK(rank(9, 9) == 3);
  CHECK(rank(7, 7) == 2);
  for (int64_t experts = 1; experts <= 200; ++experts) {
    for (int64_t d_base = experts; d_base < experts + 300; ++d_base) {
      const int64_t r = rank(d_base, experts);
      REQUIRE(r * r * experts <= d_base * d_base);
      REQUIRE((r + 1) * (r + 1) * experts > d_base * d_base);
    }
  }
  MoeConfig given;
  given.rank = 32;
  CHECK(given.resolved_rank() == 32);
  CHECK(given.block_width() == 32);
}
