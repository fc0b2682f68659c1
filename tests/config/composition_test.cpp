// `base: FILE`: a config on top of another.
#include "config_errors.h"
#include "support/catch.h"
#include "support/temp_dir.h"

using namespace cdsp;
using namespace cdsp::test;

namespace {

std::string load_error(const std::filesystem::path& file,
                       const std::vector<std::string>& overrides = {}) {
  try {
    load_config(file, overrides);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("the base is read first, the file's own keys go on top, wherever base stands") {
  const TemporaryFolder folder;
  folder.write("base.yaml", "seed: 1\nmoe: {top_k: 1, rank: 32}\ndata: {tasks: [a, b]}\n");
  const auto file =
      folder.write("own.yaml", "moe: {top_k: 3}\ndata: {tasks: [c]}\nbase: base.yaml\n");
  const Config config = load_config(file);
  CHECK(config.seed == 1);
  CHECK(config.moe.top_k == 3);
  CHECK(config.moe.rank == 32);
  CHECK(config.data.tasks == std::vector<std::string>{"c"});
}

TEST_CASE("a base is relative to the file that names it, over several steps and folders") {
  const TemporaryFolder folder;
  folder.write("deep/er/root.yaml", "seed: 7\n");
  folder.write("deep/middle.yaml", "base: er/root.yaml\nvariant: blind\n");
  const auto file = folder.write("other/leaf.yaml", "base: ../deep/middle.yaml\n");
  const Config config = load_config(file);
  CHECK(config.seed == 7);
  CHECK(config.variant == Variant::kBlind);

  const std::string absolute = "base: " + (folder.path() / "deep/middle.yaml").string() + "\n";
  CHECK(load_config(folder.write("absolute.yaml", absolute)).seed == 7);
}

TEST_CASE("paths in a base stay relative to the working directory") {
  const TemporaryFolder folder;
  folder.write("sub/base.yaml", "data: {root: images}\n");
  CHECK(load_config(folder.write("own.yaml", "base: sub/base.yaml\n")).data.root == "images");
}

TEST_CASE("a mistake names the file in which the key stands") {
  const TemporaryFolder folder;
  const auto base = folder.write("base.yaml", "seed: 1\nmoe:\n  topk: 1\n");
  const auto own = folder.write("own.yaml", "base: base.yaml\nseed: -1\n");
  CHECK(load_error(own) ==
        base.string() + ":3: moe.topk: found no such key; did you mean moe.top_k?");

  folder.write("base.yaml", "seed: 1\nmoe: {num_experts: 4}\n");
  CHECK(load_error(own) ==
        own.string() + ":2: seed: found -1; allowed: an integer from 0 to 18446744073709551615");
}

TEST_CASE("a rule across files blames the last place, however deep") {
  const TemporaryFolder folder;
  const auto base = folder.write("base.yaml", "seed: 1\nmoe: {top_k: 5}\n");
  const auto own = folder.write("own.yaml", "base: base.yaml\nmoe:\n  num_experts: 4\n");
  CHECK(load_error(own) ==
        own.string() + ":3: moe.top_k: found 5; allowed: at most moe.num_experts = 4");
  folder.write("base.yaml", "seed: 1\nmoe: {top_k: 5, num_experts: 4}\n");
  CHECK(load_error(folder.write("thin.yaml", "base: base.yaml\n")) ==
        base.string() + ":2: moe.top_k: found 5; allowed: at most moe.num_experts = 4");
}

TEST_CASE("a chain that comes back to itself is refused") {
  const TemporaryFolder folder;
  const auto self = folder.write("self.yaml", "seed: 1\nbase: self.yaml\n");
  CHECK(load_error(self) == self.string() +
                                ":2: base: found \"self.yaml\", which leads back here; allowed: a "
                                "chain of files that ends");
  const auto first = folder.write("first.yaml", "base: second.yaml\n");
  const auto second = folder.write("second.yaml", "base: ./sub/../first.yaml\n");
  CHECK(load_error(first) == second.string() +
                                 ":1: base: found \"./sub/../first.yaml\", which leads back here; "
                                 "allowed: a chain of files that ends");
}

TEST_CASE("a base that is no readable file is refused where it is named") {
  const TemporaryFolder folder;
  const std::string allowed = "; allowed: the path of a config file, relative to this one";
  const auto missing = folder.write("missing.yaml", "seed: 1\nbase: none.yaml\n");
  CHECK(load_error(missing) == missing.string() + ":2: base: found \"none.yaml\", but " +
                                   (folder.path() / "none.yaml").string() + " does not exist" +
                                   allowed);
  const auto directory = folder.write("directory.yaml", "base: ..\n");
  CHECK(load_error(directory).find(directory.string() + ":1: base: found \"..\", but ") == 0);
  for (const std::string value : {"", "[a.yaml]", "{a: b}", "''"}) {
    const auto file = folder.write("bad.yaml", "base: " + value + "\n");
    CHECK(load_error(file).find(file.string() + ":1: base: found ") == 0);
  }
}

TEST_CASE("a base that is empty or broken is named itself") {
  const TemporaryFolder folder;
  const auto base = folder.write("base.yaml", "# nothing\n");
  const auto own = folder.write("own.yaml", "base: base.yaml\n");
  CHECK(load_error(own).find(base.string() + ": is empty; allowed: at least one key of ") == 0);
  folder.write("base.yaml", "seed: [\n");
  CHECK(load_error(own).find(base.string() + ":2: is not valid YAML: ") == 0);
}

TEST_CASE("glyph tasks given in a base count as given") {
  const TemporaryFolder folder;
  const auto base = folder.write("base.yaml", "seed: 1\ndata: {tasks: [mnist]}\n");
  const auto own = folder.write("own.yaml", "base: base.yaml\ndata: {source: glyphs}\n");
  CHECK(load_error(own) == own.string() +
                               ":2: data.tasks: found the task \"mnist\"; allowed: the tasks that "
                               "data.source glyphs draws: strokes, cursive, objects");
}
