#include "train/checkpoint.h"

#include <ATen/ATen.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "model/weights.h"

namespace cdsp {
namespace fs = std::filesystem;
namespace {

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kTrainerFile = "trainer.safetensors";
constexpr const char* kKeptNames[] = {"last", "previous"};  // the newest first

bool is_whole(const fs::path& checkpoint) {
  return fs::exists(checkpoint / kModelFile) && fs::exists(checkpoint / kTrainerFile);
}

}  // namespace

void save_checkpoint(const Trainer& trainer, const fs::path& run) {
  const fs::path folder = run / "checkpoints", next = folder / "next", last = folder / "last",
                 previous = folder / "previous";
  try {
    fs::remove_all(next);
    fs::create_directories(next);
    TensorFile model = weights_of(trainer.network());
    model.metadata = {{"format", "pt"}, {"step", std::to_string(trainer.steps_done())}};
    write_safetensors(next / kModelFile, model);
    write_safetensors(next / kTrainerFile, trainer.state());
    if (is_whole(last)) {
      fs::remove_all(previous);
      fs::rename(last, previous);
    } else {
      fs::remove_all(last);
    }
    fs::rename(next, last);
    sync_path(folder);
    fs::remove_all(previous);
  } catch (const fs::filesystem_error& error) {
    throw WorkError(last.string() + ": writing the checkpoint failed: " + error.code().message());
  }
}

std::optional<fs::path> find_checkpoint(const fs::path& run) {
  for (const char* name : kKeptNames) {
    fs::path checkpoint = run / "checkpoints" / name;
    if (is_whole(checkpoint)) return checkpoint;
  }
  return std::nullopt;
}

std::optional<fs::path> find_weights(const fs::path& run) {
  for (const char* name : kKeptNames) {
    const fs::path checkpoint = run / "checkpoints" / name;
    if (!fs::exists(checkpoint)) continue;
    if (fs::exists(checkpoint / kModelFile)) return checkpoint / kModelFile;
    return std::nullopt;  // older ones are not what the run came to
  }
  return std::nullopt;
}

void load_checkpoint(Trainer& trainer, const fs::path& checkpoint) {
  const TensorFile model = read_safetensors(checkpoint / kModelFile);
  const TensorFile state = read_safetensors(checkpoint / kTrainerFile);
  const auto step_of = [](const TensorFile& file) {
    const auto step = file.metadata.find("step");
    return step == file.metadata.end() ? std::string("none") : step->second;
  };
  if (step_of(model) != step_of(state)) {
    throw InputError(checkpoint.string() + ": " + kModelFile + " is of step " + step_of(model) +
                     ", " + kTrainerFile + " of step " + step_of(state) + "; they must be a pair");
  }
  load_weights(trainer.network(), model, checkpoint / kModelFile);
  trainer.restore(state, checkpoint / kTrainerFile);
}

}  // namespace cdsp
