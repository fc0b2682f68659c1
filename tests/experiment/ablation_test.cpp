// Ablations: studies, what can be ablated, and one from end to end.
#include "experiment/ablation.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/test_launcher.h"
#include "support/catch.h"
#include "support/thrown.h"
#include "support/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

}  // namespace

TEST_CASE("what cannot be ablated", "[experiment]") {
  const TemporaryFolder folder;
  AblationOptions options;
  options.study.config = folder.write("cdsp.yaml", tiny_yaml("cdsp"));
  options.out = folder.path() / "out";
  const auto refusal = [&](const std::string& key, const std::vector<std::string>& values) {
    options.study.key = key;
    options.study.values = values;
    return message_of<InputError>([&] { plan_ablation(options); });
  };
  CHECK_THAT(refusal("conflict.lamda", {"0"}), ContainsSubstring("conflict.lambda"));
  CHECK_THAT(refusal("conflict", {"0"}), ContainsSubstring("found a section"));
  CHECK_THAT(refusal("seed", {"0"}), ContainsSubstring("--seeds"));
  CHECK_THAT(refusal("data.glyphs_train", {"20"}), ContainsSubstring("share their data"));
  CHECK_THAT(refusal("model.classes", {"20"}), ContainsSubstring("share their data"));
  CHECK_THAT(refusal("train.threads", {"1"}), ContainsSubstring("nothing but the speed"));
  CHECK_THAT(refusal("conflict.lambda", {}), ContainsSubstring("--values: is empty"));
  CHECK_THAT(refusal("conflict.lambda", {"1", "1.0"}), ContainsSubstring("are the same"));
  CHECK_THAT(refusal("conflict.lambda", {"much"}), ContainsSubstring("conflict.lambda"));
  CHECK_THAT(refusal("train.init_from", {"a/b"}), ContainsSubstring("cannot name a folder"));
  CHECK_FALSE(fs::exists(options.out));
}

TEST_CASE("mistakes in a study name the line", "[experiment]") {
  const TemporaryFolder folder;
  struct Mistake {
    const char *content, *part;
  };
  for (const Mistake& mistake :
       {Mistake{"[]", "is no ablation study"},
        {"config: a.yaml\nkey: moe.rank\n", "has no values"},
        {"config: a.yaml\nvalues: [1]\n", "has no key"},
        {"key: moe.rank\nvalues: [1]\n", "has no config"},
        {"config: a.yaml\nkey: moe.rank\nvalues: 1\n", "study.yaml:3: values: found"},
        {"config: a.yaml\nkeys: moe.rank\n", "study.yaml:2: found no such key keys"}}) {
    CAPTURE(mistake.content);
    const fs::path file = folder.write("study.yaml", mistake.content);
    CHECK_THAT(message_of<InputError>([&] { load_study(file); }), ContainsSubstring(mistake.part));
  }
}

TEST_CASE("the shipped studies are valid at every value", "[experiment]") {
  std::vector<std::string> keys;
  for (const auto& entry :
       fs::directory_iterator(fs::path(CDSP_TEST_SOURCE_DIR) / ".." / "configs" / "ablations")) {
    const AblationStudy study = load_study(entry.path());
    CAPTURE(entry.path().string());
    CHECK_FALSE(study.title.empty());
    CHECK(study.values.size() >= 2);
    for (const std::string& value : study.values) {
      CHECK_NOTHROW(load_config(study.config, {study.key + "=" + value}));
    }
    keys.push_back(study.key);
  }
  CHECK(keys.size() == 9);
}

TEST_CASE("an ablation from end to end", "[experiment]") {
  const TemporaryFolder folder;
  folder.write("cdsp.yaml", tiny_yaml("cdsp", 1));
  const fs::path study =
      folder.write("studies/lambda.yaml",
                   "title: How strong?\nconfig: ../cdsp.yaml\nkey: conflict.lambda\n"
                   "values: [0, 10]\nset: [train.log_every=5]\n");
  TestLauncher launcher;
  QueueObserver observer;
  AblationOptions options;
  options.study = load_study(study);
  options.out = folder.path() / "out";
  options.seeds = {3, 4};
  options.jobs = 1;
  const auto ablation = run_ablation(options, launcher.in_process(), observer);
  REQUIRE(ablation);
  CHECK(launcher.started.size() == 8);
  write_ablation(*ablation, options.out);
  const Json json = Json::parse(read_file(options.out / "ablation.json"));
  CHECK(json.at("title") == "How strong?");
  CHECK(json.at("key") == "conflict.lambda");
  CHECK(json.at("values") == Json({"0", "10"}));
  for (const char* measure :
       {"separation_index", "alpha_sparsity", "test_accuracy", "blind_accuracy"}) {
    const Json& points = json.at("measures").at(measure);
    REQUIRE(points.size() == 2);
    CHECK(points[1].at("value") == "10");
    CHECK(points[1].at("mean").is_number());
    CHECK(points[1].at("interval").size() == 2);
    // The config's own value, 10, is what the others are set against, seed by seed.
    CHECK_FALSE(points[1].contains("difference_to_base"));
    const Json& difference = points[0].at("difference_to_base");
    const auto of_run = [&](size_t run) { return json.at("runs")[run].at(measure).get<double>(); };
    CHECK(difference.at("mean").get<double>() ==
          Catch::Approx((of_run(0) - of_run(2) + of_run(1) - of_run(3)) / 2).margin(1e-12));
    CHECK(difference.at("seeds") == 2);
    CHECK(difference.at("interval").size() == 2);
  }
  CHECK(json.at("base") == "10");
  CHECK(json.at("provenance").contains("data_fingerprint"));
  CHECK(json.at("provenance").contains("runs_made_by_commit"));
  CHECK(json.at("runs")[0].at("made_by").at("device") == "cpu");
  REQUIRE(json.at("runs").size() == 4);
  CHECK(json.at("runs")[1].at("value") == "0");
  CHECK(json.at("runs")[1].at("seed") == 4);
  CHECK(json.at("runs")[1].at("folder") == "conflict.lambda=0/seed_4");
  const Config config = load_config(options.out / "conflict.lambda=10" / "seed_3" / "config.yaml");
  CHECK(config.conflict.lambda == 10.0);
  CHECK(config.train.log_every == 5);
  CHECK(csv_cells(options.out / "ablation.csv").size() == 5);

  // Finished runs are not trained again.
  launcher.started.clear();
  CHECK(run_ablation(options, launcher.in_process(), observer));
  CHECK(launcher.started.empty());

  // Where the config's own value is not among them, the first is.
  options.overrides = {"conflict.lambda=3"};
  CHECK(run_ablation(options, launcher.in_process(), observer)->base == "0");
  CHECK(launcher.started.empty());
}
