// Runs as processes of their own: `cdsp train` and `cdsp blind-eval`, started by this very binary.
// One that crashes takes no other with it, and each has its own threads.
#pragma once

#include <filesystem>

#include "experiment/run_queue.h"

namespace cdsp {

/// Launches the stages as processes of `binary`. The config goes in by standard input, so that a
/// file edited meanwhile changes nothing; OMP_NUM_THREADS gives the process its share of the cores,
/// and leaves its config.yaml as it is. The processes stand in process groups of their own: Ctrl-C
/// reaches them once, through this program, and they end when it does.
RunLauncher launch_processes(const std::filesystem::path& binary = "/proc/self/exe");

}  // namespace cdsp
