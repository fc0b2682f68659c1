// The file as a whole: empty, broken or not a config at all.
#include "config_errors.h"
#include "support/catch.h"
#include "support/temp_dir.h"

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string kTopLevel =
    "variant, seed, base, model, moe, topology, router, conflict, balance, optimizer, data, train";

std::string load_error(const std::filesystem::path& file) {
  try {
    load_config(file);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("a config without any key is empty") {
  for (const std::string yaml : {"", "\n\n", "# only a comment\n", "{}\n", "---\n", "~\n"}) {
    INFO(yaml);
    CHECK(error_of(yaml) == "x.yaml: is empty; allowed: at least one key of " + kTopLevel);
  }
}

TEST_CASE("the top level of a config is keys and sections") {
  CHECK(error_of("[1, 2]\n") == "x.yaml:1: found a list at the top level; allowed: " + kTopLevel);
  CHECK(error_of("# a\nhello\n") ==
        "x.yaml:2: found the text \"hello\" at the top level; allowed: " + kTopLevel);
  CHECK(error_of("5\n") == "x.yaml:1: found 5 at the top level; allowed: " + kTopLevel);
}

TEST_CASE("a file holds one document") {
  CHECK(error_of("seed: 1\n---\nseed: 2\n") == "x.yaml:2: found a second document; allowed: one");
  CHECK(error_of("---\nseed: 1\n...\n").empty());
}

TEST_CASE("a syntax error is one line that names the place") {
  const std::vector<BadConfig> cases = {
      {"seed: 1\nmoe:\n  top_k: [1, 2\nvariant: cdsp\n", "x.yaml:4: is not valid YAML: "},
      {"seed: 1\n\tvariant: cdsp\n", "x.yaml:2: is not valid YAML: "},
      {"seed: 1: 2\n", "x.yaml:1: is not valid YAML: "},
      {"seed: 1\nmodel: *missing\n", "x.yaml:2: is not valid YAML: "},
      {"seed: 1\nmodel: {heads: 4\n", "x.yaml:3: is not valid YAML: "},
  };
  for (const auto& [yaml, message] : cases) {
    INFO(yaml);
    CHECK_THAT(error_of(yaml), ContainsSubstring(message));
    CHECK(error_of(yaml).find('\n') == std::string::npos);
  }
}

TEST_CASE("bytes that are no text are refused with their line") {
  const std::string message = ": found bytes that are no UTF-8 text; allowed: YAML";
  CHECK(error_of("\xff\xfe\n") == "x.yaml:1" + message);
  CHECK(error_of("seed: 1\n\x01\n") == "x.yaml:2" + message);
  CHECK(error_of(std::string("seed: 1\n# \0\n", 12)) == "x.yaml:2" + message);
  CHECK(error_of("seed: 1\nmodel: \xc3\x28\n") == "x.yaml:2" + message);
  CHECK(error_of("# overlong: \xc0\xaf\nseed: 1\n") == "x.yaml:1" + message);
  CHECK(error_of("# surrogate: \xed\xa0\x80\nseed: 1\n") == "x.yaml:1" + message);
  CHECK(error_of("# cut short: \xe2\x82") == "x.yaml:1" + message);
}

TEST_CASE("text in any language, a byte order mark and Windows line ends are fine") {
  CHECK(error_of("# µ, 日本語, 🙂\nseed: 1\n").empty());
  CHECK(error_of("\xef\xbb\xbfseed: 1\n").empty());
  CHECK(error_of("seed: 1\r\nmoe:\r\n  top_k: 0\r\n") ==
        "x.yaml:3: moe.top_k: found 0; allowed: an integer from 1 to 4096");
}

TEST_CASE("a key stands once, at the top and in every section") {
  CHECK(error_of("seed: 1\nvariant: cdsp\nseed: 2\n") ==
        "x.yaml:3: seed: found a second time, first in line 1; allowed: each key once");
  CHECK(error_of("moe:\n  top_k: 1\n  rank: 3\n  top_k: 2\n") ==
        "x.yaml:4: moe.top_k: found a second time, first in line 2; allowed: each key once");
  CHECK(error_of("moe: {top_k: 1, top_k: 1}\n") ==
        "x.yaml:1: moe.top_k: found a second time, first in line 1; allowed: each key once");
  CHECK(error_of("moe:\n  top_k: 1\nseed: 1\nmoe:\n  rank: 3\n") ==
        "x.yaml:4: moe: found a second time, first in line 1; allowed: each key once");
}

TEST_CASE("keys are names") {
  CHECK(error_of("? [a]\n: 2\n") == "x.yaml:1: found a list as a key; allowed: a name");
  CHECK(error_of("? {a: 1}\n: 2\n") == "x.yaml:1: found a section as a key; allowed: a name");
  CHECK(error_of("null: 2\n") == "x.yaml:1: found nothing as a key; allowed: a name");
  CHECK(error_of("? {a: 1, a: 2}\n: 2\n") ==
        "x.yaml:1: a: found a second time, first in line 1; allowed: each key once");
}

TEST_CASE("tags are refused, those of YAML itself taken") {
  CHECK(error_of("seed: 1\nmoe: !mine {top_k: 1}\n") ==
        "x.yaml:2: found the tag \"!mine\"; allowed: no tags");
  CHECK(error_of("seed: !!int 4\n").empty());
  CHECK(error_of("seed: !!str 4\n") ==
        "x.yaml:1: seed: found the text \"4\"; allowed: an integer from 0 to 18446744073709551615");
}

TEST_CASE("anchors, aliases and merge keys work") {
  const Config alias = parse_config("seed: &n 4\nmoe: {num_experts: *n, top_k: *n}\n", "x.yaml");
  CHECK(alias.seed == 4);
  CHECK(alias.moe.num_experts == 4);

  const Config merged = parse_config(
      "conflict: &weights\n  lambda: 3.0\nbalance:\n  <<: *weights\n  kind: cv2\n", "x.yaml");
  CHECK(merged.balance.lambda == 3.0);
  const Config own =
      parse_config("conflict: &c {lambda: 3}\nbalance: {<<: [*c], lambda: 4}\n", "x.yaml");
  CHECK(own.balance.lambda == 4.0);
}

TEST_CASE("a merged key is checked like any other, at its own line") {
  CHECK(error_of("model: &m\n  heads: 4\nmoe:\n  <<: *m\n") ==
        "x.yaml:2: moe.heads: found no such key; did you mean model.heads?");
  CHECK(error_of("moe:\n  <<: 5\n") == "x.yaml:2: moe.<<: found 5; allowed: a section");
  CHECK(error_of("model: &m\n  <<: *m\n") ==
        "x.yaml:2: an alias stands inside the node that it names");
}

TEST_CASE("a missing file, a folder and a file of bytes are named") {
  const TemporaryFolder folder;
  const std::string missing = (folder.path() / "none.yaml").string();
  CHECK(load_error(missing) == missing + ": no such file");
  CHECK(load_error(folder.path()) == folder.path().string() + ": is a folder, a file is needed");
  const auto bytes = folder.write("model.safetensors", std::string("\x10\0\0\0\0\0\0\0{}", 10));
  CHECK(load_error(bytes) ==
        bytes.string() + ":1: found bytes that are no UTF-8 text; allowed: YAML");
}

TEST_CASE("deep nesting is refused, not run into") {
  CHECK_THAT(error_of("seed: " + std::string(100000, '[')), ContainsSubstring("x.yaml:1: "));
}
