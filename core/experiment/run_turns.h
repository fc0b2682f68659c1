// Several runs at once on one GPU: one thread of this process gives them turns, each on a CUDA
// stream of its own. A turn enqueues a stretch of captured steps (train/step_graph.h), up to the
// next look at their numbers, or some batches of an evaluation; the run's next turn comes when its
// stream has done them, so that the look waits for nothing. Meanwhile the GPU has the work of the
// other runs before it, and may overlap kernels that are too small to fill it. Nothing that a run
// computes with is shared but the images, so its numbers are those that it has alone.
//
// Processes could not do this: a GPU runs those one at a time, in slices.
#pragma once

#include "config/config.h"
#include "experiment/run_queue.h"

namespace cdsp {

/// Runs side by side on a GPU where none is asked for: eight are to fill an H100 by the size of
/// their kernels. Not measured.
inline constexpr int64_t kRunsOnOneGpu = 8;

/// Whether the run can share a GPU by turns: its steps are captured there as a CUDA graph. Throws
/// InputError as resolve_device() and resolve_step() do.
bool can_take_turns(const Config& config);

/// Trains and evaluates in this thread, a turn at every poll() that finds the last one done. A
/// failure that breaks the GPU's context, such as an access out of bounds, ends all runs on it.
RunLauncher launch_in_turns();

/// Runs that can take turns do, all others are left to `others`.
RunLauncher launch_on_devices(RunLauncher others);

}  // namespace cdsp
