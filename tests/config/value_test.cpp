// Single values: type and range.
#include "config_errors.h"
#include "support/catch.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

void check_all(const std::vector<BadConfig>& cases) {
  for (const auto& [yaml, message] : cases) {
    INFO(yaml);
    CHECK(error_of(yaml) == message);
  }
}

}  // namespace

TEST_CASE("an integer key takes integers only") {
  const std::string where = "x.yaml:2: moe.top_k: found ";
  const std::string allowed = "; allowed: an integer from 1 to 4096";
  check_all({
      {"moe:\n  top_k: two\n", where + "the text \"two\"" + allowed},
      {"moe:\n  top_k: \"2\"\n", where + "the text \"2\"" + allowed},
      {"moe:\n  top_k: 1.5\n", where + "1.5" + allowed},
      {"moe:\n  top_k: 1e1\n", where + "1e1" + allowed},
      {"moe:\n  top_k: true\n", where + "true" + allowed},
      {"moe:\n  top_k: [2]\n", where + "a list" + allowed},
      {"moe:\n  top_k: {a: 2}\n", where + "a section" + allowed},
      {"moe:\n  top_k:\n", where + "nothing" + allowed},
      {"moe:\n  top_k: null\n", where + "nothing" + allowed},
      {"moe:\n  top_k: 0x2\n", where + "the text \"0x2\"" + allowed},
      {"moe:\n  top_k: 1_0\n", where + "the text \"1_0\"" + allowed},
      {"moe:\n  top_k: auto\n", where + "the text \"auto\"" + allowed},
  });
  CHECK(parse_config("moe: {top_k: +2}\n", "x.yaml").moe.top_k == 2);
}

TEST_CASE("an integer that does not fit is refused, not wrapped") {
  check_all({
      {"moe: {top_k: 9223372036854775808}\n",
       "x.yaml:1: moe.top_k: found 9223372036854775808; allowed: an integer from 1 to 4096"},
      {"moe: {top_k: -9223372036854775809}\n",
       "x.yaml:1: moe.top_k: found -9223372036854775809; allowed: an integer from 1 to 4096"},
      {"train: {max_steps: 2147483648}\n",
       "x.yaml:1: train.max_steps: found 2147483648; allowed: an integer from 0 to 2147483647"},
      {"seed: 18446744073709551616\n",
       "x.yaml:1: seed: found 18446744073709551616; allowed: an integer from 0 to "
       "18446744073709551615"},
      {"seed: -1\n",
       "x.yaml:1: seed: found -1; allowed: an integer from 0 to 18446744073709551615"},
  });
  CHECK(parse_config("seed: 18446744073709551615\n", "x.yaml").seed == 18446744073709551615u);
}

TEST_CASE("counts and sizes are at least one") {
  for (const std::string key :
       {"model.layers", "model.heads", "model.kv_heads", "model.patch_size", "moe.num_experts",
        "moe.top_k", "moe.d_base", "moe.d_ffn", "router.task_embedding", "data.glyphs_train",
        "data.glyphs_test", "train.epochs", "train.batch_size", "train.log_every",
        "train.checkpoint_every", "train.eval_batch_size"}) {
    INFO(key);
    CHECK_THAT(override_error(key + "=0"),
               Catch::Matchers::ContainsSubstring("--set: " + key +
                                                  ": found 0; allowed: an integer from 1 to "));
    CHECK(!override_error(key + "=-3").empty());
  }
  CHECK(override_error("model.d_model=0") ==
        "--set: model.d_model: found 0; allowed: an integer from 2 to 1048576");
  CHECK(override_error("model.classes=1") ==
        "--set: model.classes: found 1; allowed: an integer from 2 to 1048576");
}

TEST_CASE("counts that may be zero are not negative") {
  for (const std::string key : {"data.limit_per_task", "train.max_steps", "train.threads"}) {
    INFO(key);
    CHECK(override_error(key + "=0").empty());
    CHECK_THAT(override_error(key + "=-1"),
               Catch::Matchers::ContainsSubstring("--set: " + key +
                                                  ": found -1; allowed: an integer from 0 to "));
  }
}

TEST_CASE("a number key takes integers and every spelling of a decimal") {
  for (const std::string text : {"5.0e-3", "5e-3", "0.005", ".005", "+0.005", "5E-3", "0.5e-02"}) {
    INFO(text);
    CHECK(parse_config("optimizer: {lr: " + text + "}\n", "x.yaml").optimizer.lr == 0.005);
  }
  CHECK(parse_config("conflict: {lambda: 5}\n", "x.yaml").conflict.lambda == 5.0);
  CHECK(parse_config("conflict: {lambda: 5.}\n", "x.yaml").conflict.lambda == 5.0);
}

TEST_CASE("a number key takes nothing else") {
  const std::string where = "x.yaml:1: optimizer.lr: found ";
  const std::string allowed = "; allowed: a number above 0 to 1.0e+9";
  check_all({
      {"optimizer: {lr: fast}\n", where + "the text \"fast\"" + allowed},
      {"optimizer: {lr: \"0.1\"}\n", where + "the text \"0.1\"" + allowed},
      {"optimizer: {lr: true}\n", where + "true" + allowed},
      {"optimizer: {lr: [0.1]}\n", where + "a list" + allowed},
      {"optimizer: {lr: {a: 0.1}}\n", where + "a section" + allowed},
      {"optimizer: {lr: }\n", where + "nothing" + allowed},
      {"optimizer: {lr: .nan}\n", where + ".nan" + allowed},
      {"optimizer: {lr: .inf}\n", where + ".inf" + allowed},
      {"optimizer: {lr: -.inf}\n", where + "-.inf" + allowed},
      {"optimizer: {lr: nan}\n", where + "the text \"nan\"" + allowed},
      {"optimizer: {lr: inf}\n", where + "the text \"inf\"" + allowed},
      {"optimizer: {lr: 1e999}\n", where + "1e999" + allowed},
      {"optimizer: {lr: 1e-999}\n", where + "1e-999" + allowed},
  });
}

TEST_CASE("rates and weights are not negative, the learning rate is positive") {
  for (const std::string key : {"topology.init_std", "conflict.lambda", "conflict.l1",
                                "conflict.determinism", "balance.lambda", "optimizer.topology_lr",
                                "optimizer.weight_decay", "optimizer.clip_norm"}) {
    INFO(key);
    CHECK(override_error(key + "=0").empty());
    CHECK(override_error(key + "=-1e-3") ==
          "--set: " + key + ": found -1e-3; allowed: a number from 0 to 1.0e+9");
    CHECK(override_error(key + "=.nan") ==
          "--set: " + key + ": found .nan; allowed: a number from 0 to 1.0e+9");
  }
  CHECK(override_error("optimizer.lr=0") ==
        "--set: optimizer.lr: found 0; allowed: a number above 0 to 1.0e+9");
  CHECK(override_error("optimizer.lr=-0.1") ==
        "--set: optimizer.lr: found -0.1; allowed: a number above 0 to 1.0e+9");
}

TEST_CASE("task dropout is a probability") {
  const std::string allowed = "; allowed: a number from 0 to 1";
  CHECK(override_error("router.task_dropout=1.01") ==
        "--set: router.task_dropout: found 1.01" + allowed);
  CHECK(override_error("router.task_dropout=-0.1") ==
        "--set: router.task_dropout: found -0.1" + allowed);
  CHECK(override_error("router.task_dropout=.inf") ==
        "--set: router.task_dropout: found .inf" + allowed);
  CHECK(override_error("router.task_dropout=0").empty());
  CHECK(override_error("router.task_dropout=1").empty());
}

TEST_CASE("a truth value is true or false, not 1, yes or text") {
  const std::string where = "x.yaml:1: model.head_bias: found ";
  check_all({
      {"model: {head_bias: 1}\n", where + "1; allowed: true or false"},
      {"model: {head_bias: yes}\n", where + "the text \"yes\"; allowed: true or false"},
      {"model: {head_bias: \"true\"}\n", where + "the text \"true\"; allowed: true or false"},
      {"model: {head_bias: []}\n", where + "a list; allowed: true or false"},
  });
  CHECK_FALSE(parse_config("model: {head_bias: False}\n", "x.yaml").model.head_bias);
}

TEST_CASE("a choice names its spellings") {
  check_all({
      {"variant: CDSP\n",
       "x.yaml:1: variant: found the text \"CDSP\"; allowed: cdsp, baseline or blind"},
      {"model: {dtype: float16}\n",
       "x.yaml:1: model.dtype: found the text \"float16\"; allowed: float32 or float64"},
      {"model: {dtype: 64}\n", "x.yaml:1: model.dtype: found 64; allowed: float32 or float64"},
      {"model: {head_init: zero}\n",
       "x.yaml:1: model.head_init: found the text \"zero\"; allowed: uniform or normal"},
      {"topology: {init: eye}\n",
       "x.yaml:1: topology.init: found the text \"eye\"; allowed: max_entropy or self_loop"},
      {"router: {norm: layer}\n",
       "x.yaml:1: router.norm: found the text \"layer\"; allowed: token or sequence"},
      {"router: {dropout_unit: token}\n",
       "x.yaml:1: router.dropout_unit: found the text \"token\"; allowed: sample or batch"},
      {"conflict: {penalty: l2}\n",
       "x.yaml:1: conflict.penalty: found the text \"l2\"; allowed: logit, gated_logit or sigmoid"},
      {"conflict: {gradient: v}\n",
       "x.yaml:1: conflict.gradient: found the text \"v\"; allowed: uv or u"},
      {"balance: {kind: [switch]}\n",
       "x.yaml:1: balance.kind: found a list; allowed: switch or cv2"},
      {"data: {source: csv}\n",
       "x.yaml:1: data.source: found the text \"csv\"; allowed: idx or glyphs"},
      {"data: {labels: null}\n", "x.yaml:1: data.labels: found nothing; allowed: native or coarse"},
      {"data: {sampling: random}\n",
       "x.yaml:1: data.sampling: found the text \"random\"; allowed: concat or balanced"},
  });
}

TEST_CASE("the rank is auto or an integer") {
  CHECK_FALSE(parse_config("moe: {rank: auto}\n", "x.yaml").moe.rank.has_value());
  CHECK(parse_config("moe: {rank: 32}\n", "x.yaml").moe.rank == 32);
  const std::string allowed = "; allowed: auto or an integer from 1 to 1048576";
  check_all({
      {"moe: {rank: 0}\n", "x.yaml:1: moe.rank: found 0" + allowed},
      {"moe: {rank: Auto}\n", "x.yaml:1: moe.rank: found the text \"Auto\"" + allowed},
      {"moe: {rank: null}\n", "x.yaml:1: moe.rank: found nothing" + allowed},
      {"moe: {rank: 1.5}\n", "x.yaml:1: moe.rank: found 1.5" + allowed},
  });
}

TEST_CASE("tasks are a list of unique names that serve as file and column names") {
  const std::string allowed =
      "; allowed: a list of names, each once (1 to 64 letters, digits, - or _)";
  const std::string quotes = " (text that looks like a number or a truth value needs quotes)";
  check_all({
      {"data: {tasks: []}\n", "x.yaml:1: data.tasks: found an empty list" + allowed},
      {"data: {tasks: mnist}\n", "x.yaml:1: data.tasks: found the text \"mnist\"" + allowed},
      {"data:\n  tasks:\n    - a\n    - b\n    - a\n",
       "x.yaml:5: data.tasks: found \"a\" twice" + allowed},
      {"data:\n  tasks:\n    - a\n    - a/b\n",
       "x.yaml:4: data.tasks: found the text \"a/b\"" + allowed},
      {"data: {tasks: [a b]}\n", "x.yaml:1: data.tasks: found the text \"a b\"" + allowed},
      {"data: {tasks: [..]}\n", "x.yaml:1: data.tasks: found the text \"..\"" + allowed},
      {"data: {tasks: ['']}\n", "x.yaml:1: data.tasks: found the text \"\"" + allowed},
      {"data: {tasks: [\"a\\nb\"]}\n",
       "x.yaml:1: data.tasks: found the text \"a\\x0ab\"" + allowed},
      {"data: {tasks: [a, 1]}\n", "x.yaml:1: data.tasks: found 1" + quotes + allowed},
      {"data: {tasks: [~]}\n", "x.yaml:1: data.tasks: found nothing" + allowed},
      {"data: {tasks: [[a]]}\n", "x.yaml:1: data.tasks: found a list" + allowed},
      {"data: {tasks: {a: b}}\n", "x.yaml:1: data.tasks: found a section" + allowed},
  });
  const Config config = parse_config("data: {tasks: [A-1, b_2, '3']}\n", "x.yaml");
  CHECK(config.data.tasks == std::vector<std::string>{"A-1", "b_2", "3"});
}

TEST_CASE("a path is text that is not empty, and null where it is optional") {
  const std::string quotes = " (text that looks like a number or a truth value needs quotes)";
  check_all({
      {"data: {root: ''}\n", "x.yaml:1: data.root: found an empty text; allowed: a path"},
      {"data: {root: null}\n", "x.yaml:1: data.root: found nothing; allowed: a path"},
      {"data: {root: 2024}\n", "x.yaml:1: data.root: found 2024" + quotes + "; allowed: a path"},
      {"data: {root: [data]}\n", "x.yaml:1: data.root: found a list; allowed: a path"},
      {"data: {order_file: true}\n",
       "x.yaml:1: data.order_file: found true" + quotes + "; allowed: null or a path"},
      {"train: {init_from: ''}\n",
       "x.yaml:1: train.init_from: found an empty text; allowed: null or a path"},
  });
  const Config config =
      parse_config("data: {root: '2024', order_file: null}\ntrain: {init_from: w.st}\n", "x.yaml");
  CHECK(config.data.root == "2024");
  CHECK_FALSE(config.data.order_file.has_value());
  CHECK(config.train.init_from == "w.st");
}

TEST_CASE("a device is auto, cpu, cuda or cuda:N") {
  for (const std::string text : {"auto", "cpu", "cuda", "cuda:0", "cuda:15"})
    CHECK(parse_config("train: {device: " + text + "}\n", "x.yaml").train.device == text);
  for (const std::string text :
       {"gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:100", "CPU", "cuda:0x"}) {
    INFO(text);
    CHECK(error_of("train: {device: \"" + text + "\"}\n") ==
          "x.yaml:1: train.device: found the text \"" + text +
              "\"; allowed: auto, cpu, cuda or cuda:N");
  }
  CHECK(error_of("train: {device: 0}\n") ==
        "x.yaml:1: train.device: found 0; allowed: auto, cpu, cuda or cuda:N");
}

TEST_CASE("a message stays one short line whatever was found") {
  const std::string message = error_of("variant: \"" + std::string(5000, 'x') + "\\n\"\n");
  CHECK(message.size() < 200);
  CHECK(message.find('\n') == std::string::npos);
}
