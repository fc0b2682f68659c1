// A run's checkpoint: checkpoints/last/{model,trainer}.safetensors, always a pair of the same step.
//
// The pair is written into checkpoints/next, flushed, and the folder takes the name `last`; the one
// before is kept as `previous` until then. Whenever the power goes, `last` or `previous` is a whole
// pair.
#pragma once

#include <filesystem>
#include <optional>

#include "train/trainer.h"

namespace cdsp {

/// `run` is the run's folder. Throws WorkError; the checkpoint before stays readable.
void save_checkpoint(const Trainer& trainer, const std::filesystem::path& run);

/// Folder of the newest whole checkpoint of a run, if it has one.
std::optional<std::filesystem::path> find_checkpoint(const std::filesystem::path& run);

/// The newest weights of a run, if it has any: those of the newest checkpoint, or of one that has
/// lost its trainer.safetensors, which only going on with the training needs.
std::optional<std::filesystem::path> find_weights(const std::filesystem::path& run);

/// Continues from the folder that find_checkpoint names. Throws InputError if the two files are not
/// of the same step or do not fit the trainer.
void load_checkpoint(Trainer& trainer, const std::filesystem::path& checkpoint);

}  // namespace cdsp
