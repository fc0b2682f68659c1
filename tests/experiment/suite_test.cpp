// Suites: folders of configs and files that list arms.
#include "experiment/suite.h"

#include "base/error.h"
#include "experiment/fingerprint.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

std::vector<std::string> names_of(const Suite& suite) {
  std::vector<std::string> names;
  for (const SuiteArm& arm : suite.arms) names.push_back(arm.name);
  return names;
}

std::string refusal(const fs::path& suite, const std::vector<std::string>& overrides = {}) {
  return message_of<InputError>([&] { load_suite(suite, overrides); });
}

fs::path shipped(const std::string& name) {
  return fs::path(CDSP_TEST_SOURCE_DIR) / ".." / "configs" / name;
}

}  // namespace

TEST_CASE("a folder is a suite of all its configs", "[experiment]") {
  const TemporaryFolder folder;
  write_tiny_suite(folder);
  folder.write("notes.txt", "no config");
  folder.write("a-control.yaml", "base: cdsp.yaml\nconflict: {lambda: 0}\n");
  const Suite suite = load_suite(folder.path(), {"train.epochs=7"});
  CHECK(names_of(suite) == std::vector<std::string>{"baseline", "blind", "cdsp", "a-control"});
  CHECK(suite.arms[3].config.conflict.lambda == 0.0);
  for (const SuiteArm& arm : suite.arms) CHECK(arm.config.train.epochs == 7);
}

TEST_CASE("any configs make a folder a suite, a base of the others among them", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("common.yaml", tiny_yaml("cdsp") + "optimizer: {lr: 0.001}\n");
  folder.write("wide.yaml", "base: common.yaml\nmodel: {d_model: 32}\n");
  folder.write("blind.yaml", "base: common.yaml\nvariant: blind\n");
  const Suite suite = load_suite(folder.path(), {});
  CHECK(names_of(suite) == std::vector<std::string>{"blind", "common", "wide"});
  for (const SuiteArm& arm : suite.arms) CHECK(arm.config.optimizer.lr == 0.001);
  // A base of other data is in nobody's way once it is left out.
  folder.write("other.yaml", "base: common.yaml\ndata: {glyphs_train: 50}\n");
  CHECK_THAT(refusal(folder.path()), ContainsSubstring("has data.glyphs_train: 50"));
  CHECK(names_of(load_suite(folder.path(), {}, {"wide", "common"})) ==
        std::vector<std::string>{"common", "wide"});
}

TEST_CASE("a folder that is no suite", "[experiment]") {
  const TemporaryFolder folder;
  CHECK_THAT(refusal(folder.path() / "none"), ContainsSubstring("none is no folder of configs"));
  folder.write("notes.txt", "no config");
  folder.write("suites/cdsp.yaml", tiny_yaml("cdsp"));
  CHECK_THAT(refusal(folder.path()),
             ContainsSubstring(folder.path().string() + " holds no *.yaml"));
  folder.write("blind.yaml", tiny_yaml("cdsp"));
  CHECK_THAT(refusal(folder.path()),
             ContainsSubstring("blind.yaml: has variant: cdsp, its name asks for blind"));
  folder.write("blind.yaml", tiny_yaml("blind"));
  CHECK_THAT(refusal(folder.path(), {"seed=3"}), ContainsSubstring("--seeds"));
  folder.write("experiments.yaml", tiny_yaml("cdsp"));
  CHECK_THAT(refusal(folder.path()), ContainsSubstring("experiments.yaml: its name cannot be"));
}

TEST_CASE("a file is a suite of the arms that it lists", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("configs/cdsp.yaml", tiny_yaml("cdsp"));
  const fs::path file = folder.write(
      "suite.yaml",
      "arms:\n  other: {config: configs/cdsp.yaml, set: [conflict.lambda=0, moe.top_k=1]}\n"
      "  cdsp: {config: configs/cdsp.yaml}\n");
  const Suite suite = load_suite(file, {"conflict.lambda=5", "train.epochs=3"});
  REQUIRE(names_of(suite) == std::vector<std::string>{"cdsp", "other"});
  CHECK(suite.arms[0].config.conflict.lambda == 5.0);
  CHECK(suite.arms[1].config.conflict.lambda == 0.0);  // what makes the arm stays
  CHECK(suite.arms[1].config.moe.top_k == 1);
  CHECK(suite.arms[1].config.train.epochs == 3);
}

TEST_CASE("mistakes in a suite file name the line and the arm", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  folder.write("others.yaml", "base: cdsp.yaml\ndata: {glyphs_train: 50}\n");
  struct Mistake {
    const char *content, *part;
  };
  for (const Mistake& mistake :
       {Mistake{"arms: {a: {config: none.yaml}}\n", "suite.yaml:1: arms.a.config: "},
        {"arms: {a: {config: cdsp.yaml}, a: {config: cdsp.yaml}}\n", "a"},
        {"arms: {a: {set: [moe.top_k=1]}}\n", "arms.a: has no config"},
        {"arms: {a: {config: cdsp.yaml, sets: []}}\n", "arms.a: found no such key sets"},
        {"arms: {a: {config: cdsp.yaml, set: moe.top_k=1}}\n", "arms.a.set: found"},
        {"arms: {a: {config: cdsp.yaml, set: [seed=1]}}\n", "--seeds"},
        {"arms: {a: {config: cdsp.yaml, set: [moe.topk=1]}}\n", "moe.top_k"},
        {"arms: {a/b: {config: cdsp.yaml}}\n", "cannot be an arm's name"},
        {"arms: {report: {config: cdsp.yaml}}\n", "cannot be an arm's name"},
        {"arms: {blind: {config: cdsp.yaml}}\n", "its name asks for blind"},
        {"arms: []\n", "arms: found"},
        {"arm: {}\n", "found arm in a suite file"},
        {"- a\n", "is no suite file"},
        {"arms: {a: {config: cdsp.yaml}, b: {config: others.yaml}}\n",
         "has data.glyphs_train: 50, a has 40"}}) {
    CAPTURE(mistake.content);
    CHECK_THAT(refusal(folder.write("suite.yaml", mistake.content)),
               ContainsSubstring(mistake.part));
  }
  // A config is no suite.
  CHECK_THAT(refusal(folder.path() / "cdsp.yaml"), ContainsSubstring("found variant in a suite"));
}

TEST_CASE("the shipped suites hold the controls", "[experiment]") {
  for (const std::string profile : {"paper", "reference"}) {
    CAPTURE(profile);
    CHECK(load_suite(shipped(profile), {}).arms.size() == 3);
    const Suite suite = load_suite(shipped(profile + "-controls.yaml"), {});
    REQUIRE(names_of(suite) == std::vector<std::string>{"baseline", "blind", "cdsp",
                                                        "baseline-task-dropout", "cdsp-blind",
                                                        "cdsp-no-conflict"});
    const auto only_difference = [&](size_t arm, size_t from, const std::string& key,
                                     const std::string& value) {
      const auto keys = differing_keys(suite.arms[from].config, suite.arms[arm].config);
      REQUIRE(keys.size() == 1);
      CHECK(keys.front().key == key);
      CHECK(keys.front().wanted == value);
    };
    only_difference(3, 0, "router.task_dropout", "0.5");
    only_difference(4, 2, "router.task_dropout", "1.0");
    only_difference(5, 2, "conflict.lambda", "0.0");
  }
}

TEST_CASE("arms of a suite are chosen by name", "[experiment]") {
  const fs::path controls = shipped("paper-controls.yaml");
  CHECK(names_of(load_suite(controls, {}, {"cdsp-no-conflict", "blind", "cdsp"})) ==
        std::vector<std::string>{"blind", "cdsp", "cdsp-no-conflict"});
  const auto refused = [&](const std::vector<std::string>& wanted) {
    return message_of<InputError>([&] { load_suite(controls, {}, wanted); });
  };
  CHECK_THAT(refused({"cdsp", "no-conflict"}),
             ContainsSubstring("has no arm 'no-conflict'; it has baseline, blind, cdsp, "
                               "baseline-task-dropout, cdsp-blind, cdsp-no-conflict"));
  CHECK_THAT(refused({"cdsp", ""}), ContainsSubstring("has no arm ''"));
  CHECK(refused({"cdsp", "cdsp"}) == "--arms: cdsp stands there twice");
}

TEST_CASE("the controls of a suite stand beside its folder", "[experiment]") {
  for (const char* name : {"paper", "reference"}) {
    const fs::path controls = suite_with_controls(shipped(name));
    CHECK(controls.filename() == std::string(name) + "-controls.yaml");
    CHECK(suite_with_controls(shipped(name) / "") == controls);
    CHECK(suite_with_controls(controls) == controls);
  }
  CHECK(suite_with_controls(shipped("smoke")).empty());
}
