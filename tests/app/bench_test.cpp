// cdsp bench: every subcommand in tiny sizes; its fields, its files, what it refuses.
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/background_program.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace {

namespace fs = std::filesystem;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;
using Json = nlohmann::json;

/// A call on one thread with a small network.
std::vector<std::string> tiny(const std::vector<std::string>& words) {
  std::vector<std::string> call = {"bench"};
  call.insert(call.end(), words.begin(), words.end());
  for (const char* key : {"model.d_model=16", "model.layers=1", "model.patch_size=14"}) {
    call.insert(call.end(), {"--set", key});
  }
  return call;
}

/// The output of calls that must succeed.
std::vector<std::string> outputs(const std::vector<std::vector<std::string>>& calls,
                                 const fs::path& folder) {
  std::vector<std::string> texts;
  for (const ProgramResult& result : run_programs(calls, {folder, {}})) {
    INFO(result.errors);
    REQUIRE(result.exit_code == 0);
    texts.push_back(result.output);
  }
  return texts;
}

void check_numbers(const Json& row, const std::vector<const char*>& names) {
  for (const char* name : names) {
    CAPTURE(name);
    CHECK(row.at(name).get<double>() > 0.0);
  }
}

}  // namespace

TEST_CASE("bench tells floors, kernels, scaling and epochs", "[app]") {
  const TemporaryFolder folder;
  const std::vector<std::string> once = {"--steps", "1", "--repeats", "1", "--threads", "1"};
  const auto with = [](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const auto texts = outputs(
      {tiny(with({"gemm-floor", "--json", "--batch", "4"}, once)),
       tiny(with({"gemm-floor", "--parts", "--variant", "cdsp", "--form", "dense", "--batch", "4"},
                 once)),
       tiny(with({"kernels", "--json", "--batch", "2"}, once)),
       tiny(with({"kernels", "--kernel", "pooled_head", "--batch", "2"}, once)),
       tiny(with({"scaling", "--json", "--axis", "batch,layers", "--batches", "2,4", "--layers",
                  "1,2", "--batch", "2", "--out", "deep/scaling"},
                 once)),
       tiny(with({"scaling", "--axis", "d_base", "--d-bases", "16,32", "--batch", "2", "--variant",
                  "cdsp"},
                 once)),
       tiny({"epoch", "--json", "--images", "12", "--test-images", "6", "--batch", "4", "--repeats",
             "1", "--threads", "1"}),
       tiny({"epoch", "--variant", "blind", "--images", "12", "--test-images", "6", "--batch", "4",
             "--repeats", "1", "--threads", "1"}),
       tiny(with({"step", "--json", "--variant", "cdsp", "--phase", "train,eval", "--batch", "4",
                  "--device", "cpu"},
                 once))},
      folder.path());

  const Json floors = Json::parse(texts[0]);
  REQUIRE(floors.size() == 6);
  CHECK(floors[0].at("variant") == "baseline");
  CHECK(floors[0].at("form") == "engine");
  CHECK(floors[5].at("form") == "selected");
  for (const Json& row : floors) {
    check_numbers(
        row, {"gflop_per_step", "mflop_per_image", "ms_per_step", "images_per_s", "gflop_per_s"});
    CHECK(row.at("threads") == 1);
    CHECK(row.at("parts").size() == (row.at("variant") == "cdsp" ? 7 : 6));
    check_numbers(row.at("parts")[0].at("products")[0], {"rows", "columns", "inner", "tiles"});
  }
  CHECK_THAT(texts[1], ContainsSubstring("GFLOP/s") && ContainsSubstring("attention scores"));

  const Json kernels = Json::parse(texts[2]);
  REQUIRE(kernels.size() == 20);  // nine of eleven have a backward pass
  for (const Json& row : kernels) check_numbers(row, {"reference_ms", "fused_ms", "speedup"});
  CHECK(kernels[0].at("pass") == "forward");
  CHECK(kernels[1].at("pass") == "backward");
  CHECK_THAT(texts[3], ContainsSubstring("pooled_head") && !ContainsSubstring("cdsp_layer"));

  const Json points = Json::parse(texts[4]);
  REQUIRE(points.size() == 8);
  CHECK(points[0].at("axis") == "batch");
  CHECK(points[0].at("time_exponent").is_null());
  CHECK(points[1].at("time_exponent").is_number());
  CHECK(points[7].at("axis") == "layers");
  CHECK(points[7].at("value") == 2);
  for (const Json& row : points) check_numbers(row, {"ms_per_step", "floor_ms", "gflop_per_step"});
  for (const char* name : {"scaling.csv", "scaling_batch.svg", "scaling_layers.svg"}) {
    CHECK(fs::file_size(folder.path() / "deep" / "scaling" / name) > 100);
  }
  CHECK_THAT(texts[5], ContainsSubstring("d_base"));

  const Json epochs = Json::parse(texts[6]);
  REQUIRE(epochs.size() == 2);
  for (const Json& row : epochs) {
    check_numbers(row, {"epoch_ms", "steps_ms", "data_ms", "metrics_ms", "evaluation_ms",
                        "overhead_percent", "evaluation_speed"});
    CHECK(row.at("steps") == 3);
  }
  CHECK_THAT(texts[7], ContainsSubstring("blind") && ContainsSubstring("logging"));

  const Json steps = Json::parse(texts[8]);
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].at("step") == "eager");
  CHECK(steps[1].at("phase") == "eval");
  CHECK_FALSE(steps[1].contains("step"));
  check_numbers(steps[1], {"times_training_speed"});
  for (const Json& row : steps) {
    check_numbers(row, {"floor_ms", "floor_images_per_s", "floor_gflop_per_s", "gflop_per_step",
                        "percent_of_floor"});
  }
}

TEST_CASE("bench refuses what it cannot measure", "[app]") {
  const TemporaryFolder folder;
  folder.write("taken", "a file");
  struct Mistake {
    std::vector<std::string> arguments;
    std::vector<std::string> message;
  };
  const std::vector<Mistake> mistakes = {
      {{"bench"}, {"a command is needed", "gemm-floor"}},
      {{"bench", "kernel"}, {"unknown command 'kernel'", "did you mean 'kernels'"}},
      {{"bench", "step", "--phase", "test"}, {"--phase: found 'test'", "train, eval"}},
      {{"bench", "gemm-floor", "--form", "sparse"}, {"--form: found 'sparse'", "engine, dense"}},
      {{"bench", "gemm-floor", "--batch", "0"}, {"--batch", "0"}},
      {{"bench", "gemm-floor", "--set", "model.dtype=float64"}, {"model.dtype", "use --dtype"}},
      {{"bench", "gemm-floor", "--set", "model.patch_size=5"}, {"model.patch_size: 5", "28"}},
      {{"bench", "kernels", "--kernel", "softmax"}, {"--kernel: found 'softmax'", "cdsp_layer"}},
      {{"bench", "kernels", "--set", "train.engine=fused"}, {"train.engine", "both engines"}},
      {{"bench", "scaling", "--axis", "width"}, {"--axis: found 'width'", "d_base"}},
      {{"bench", "scaling", "--batches", "4,2"}, {"batch: found 2 after 4", "rise"}},
      {{"bench", "scaling", "--axis", "experts", "--experts", "1,2"}, {"experts 1", "top_k"}},
      {{"bench", "scaling", "--out", "taken/deeper"}, {"--out: taken/deeper"}},
      {{"bench", "scaling", "--out", ""}, {"--out"}},
      {{"bench", "epoch", "--images", "0"}, {"--images", "0"}},
      {{"bench", "epoch", "--set", "train.epochs=2"}, {"train.epochs", "--repeats"}}};
  std::vector<std::vector<std::string>> calls;
  for (const Mistake& mistake : mistakes) calls.push_back(mistake.arguments);
  const auto results = run_programs(calls, {folder.path(), {}});
  for (size_t i = 0; i < results.size(); ++i) {
    CAPTURE(calls[i], results[i].errors);
    CHECK(results[i].exit_code == 2);
    CHECK(results[i].output.empty());
    for (const std::string& part : mistakes[i].message) {
      CHECK_THAT(results[i].errors, ContainsSubstring(part));
    }
  }
}
