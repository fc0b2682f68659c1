// Which weights stand for a run.
#include "experiment/blind_eval.h"

#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/train_run.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/thrown.h"
#include "support/tiny_setup.h"

namespace fs = std::filesystem;

namespace {

using namespace cdsp;
using namespace cdsp::test;
using Catch::Matchers::ContainsSubstring;

void train_into(const fs::path& run) {
  const Dataset data = tiny_dataset();
  RunObserver observer;
  train_run(tiny_config(), data, {run, false, nullptr}, observer);
}

}  // namespace

TEST_CASE("a run is judged by its newest weights, with or without the optimiser's state",
          "[experiment]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run", last = run / "checkpoints" / "last";
  train_into(run);
  CHECK(model_of_run(run).weights == last / "model.safetensors");
  fs::remove(last / "trainer.safetensors");
  CHECK(model_of_run(run).weights == last / "model.safetensors");
  // Between two checkpoints the older one is all there is; beside a newer one it is of no use.
  fs::copy(last, run / "checkpoints" / "previous");
  fs::remove(last / "model.safetensors");
  CHECK_THAT(message_of<InputError>([&] { model_of_run(run); }),
             ContainsSubstring("model.safetensors: is gone; the run had it"));
  fs::remove_all(last);
  CHECK(model_of_run(run).weights == run / "checkpoints" / "previous" / "model.safetensors");
  fs::remove_all(run / "checkpoints");
  CHECK_THAT(message_of<InputError>([&] { model_of_run(run); }), ContainsSubstring("is gone"));
  fs::remove(run / "run.json");
  CHECK_THAT(message_of<InputError>([&] { model_of_run(run); }),
             ContainsSubstring("run: holds no checkpoint yet"));
}

TEST_CASE("a run is not judged by a config.yaml it was not made with", "[experiment]") {
  const TemporaryFolder folder;
  const fs::path run = folder.path() / "run";
  train_into(run);
  Config config = tiny_config();
  config.train.threads = 1;  // changes no result
  write_file_atomically(run / "config.yaml", to_yaml(config));
  CHECK_NOTHROW(model_of_run(run));
  config.conflict.lambda += 1.0;
  write_file_atomically(run / "config.yaml", to_yaml(config));
  CHECK_THAT(message_of<InputError>([&] { model_of_run(run); }),
             ContainsSubstring("config.yaml: is not the one the run was made with"));
}
