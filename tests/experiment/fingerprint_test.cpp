// What tells runs apart that must not be mixed.
#include "experiment/fingerprint.h"

#include <set>

#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/tiny_setup.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

}  // namespace

TEST_CASE("config fingerprints tell results apart and nothing else", "[experiment]") {
  const Config config = tiny_config();
  const std::string plain = config_fingerprint(config);
  CHECK(plain.size() == 64);
  CHECK(config_fingerprint(Config{}) ==  // of no bytes: every key at its default
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Config same = config;
  same.train.threads = 7;
  same.train.device = "cuda";
  same.train.eval_batch_size = 9;
  same.data.root = "elsewhere";
  CHECK(config_fingerprint(same) == plain);
  std::set<std::string> fingerprints = {plain};
  for (const auto& change : std::vector<void (*)(Config&)>{
           [](Config& c) { c.seed = 6; }, [](Config& c) { c.variant = Variant::kBlind; },
           [](Config& c) { c.conflict.lambda = 0; }, [](Config& c) { c.train.epochs = 3; },
           [](Config& c) { c.train.engine = EngineChoice::kReference; },
           [](Config& c) { c.data.limit_per_task = 1; }}) {
    Config other = config;
    change(other);
    CHECK(fingerprints.insert(config_fingerprint(other)).second);
    REQUIRE(differing_keys(config, other).size() == 1);
  }
}

TEST_CASE("a mismatch names what differs and both values", "[experiment]") {
  const Config config = tiny_config();
  RunRecord record;
  record.data_fingerprint = "data";
  const auto mismatch = [&](const Config& found) {
    return mismatch_of_run(found, record, config, "data").value_or("");
  };
  // A run.json without the newer fields is of version 1.
  CHECK_THAT(mismatch(config), ContainsSubstring("with results_version: 1, this program's"));
  record.results_version = kResultsVersion;
  CHECK(mismatch(config).empty());
  CHECK_FALSE(mismatch_of_run(config, std::nullopt, config, "data"));
  record.config_fingerprint = config_fingerprint(config);
  CHECK(mismatch(config).empty());

  Config other = config;
  other.seed = 6;
  CHECK(mismatch(other) == "with seed: 6, this one wants 5");
  record.data_fingerprint = "others";
  CHECK_THAT(mismatch(config), ContainsSubstring("data_fingerprint: others, here data"));
  record.data_fingerprint = "data";
  record.results_version = kResultsVersion + 1;
  CHECK(mismatch(config) == "with results_version: " + std::to_string(kResultsVersion + 1) +
                                ", this program's numbers are of version " +
                                std::to_string(kResultsVersion));
  record.results_version = kResultsVersion;
  record.config_fingerprint = "of before somebody edited config.yaml";
  CHECK_THAT(mismatch(config), ContainsSubstring("is not the one it was made with"));
}

TEST_CASE("a run is another run if a file that its config names has another content",
          "[experiment]") {
  const TemporaryFolder folder;
  Config config = tiny_config();
  CHECK(input_fingerprints(config).empty());
  const auto key = GENERATE(as<std::string>{}, "data.order_file", "train.init_from");
  const auto file = folder.write("input", "0\n1\n2\n");
  if (key == "data.order_file") config.data.order_file = file;
  if (key == "train.init_from") config.train.init_from = file;
  RunRecord record;
  record.data_fingerprint = "data";
  record.results_version = kResultsVersion;
  record.input_files = input_fingerprints(config);
  REQUIRE(record.input_files.size() == 1);
  CHECK(record.input_files.at(key).size() == 64);
  const auto mismatch = [&] {
    return mismatch_of_run(config, record, config, "data").value_or("");
  };
  CHECK(mismatch().empty());
  folder.write("input", "2\n1\n0\n");
  CHECK_THAT(mismatch(), ContainsSubstring("with another content of " + key) &&
                             ContainsSubstring(file.string()) &&
                             ContainsSubstring(record.input_files.at(key)));
  // A run that has its weights by now does without the file it began from.
  fs::remove(file);
  CHECK(mismatch().empty());
  // Runs of before the field cannot be told apart by it.
  folder.write("input", "2\n1\n0\n");
  record.input_files.clear();
  CHECK(mismatch().empty());
}
