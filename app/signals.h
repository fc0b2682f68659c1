// Ctrl-C and SIGTERM as a request: the work at hand ends well, then the process says how to go on.
#pragma once

#include <atomic>

namespace cdsp::app {

/// From now on the first SIGINT or SIGTERM is only noted, in the number returned (0 before); the
/// second one ends the process at once.
const std::atomic<int>& note_stop_signals();

/// The exit code of a process that stopped because of the noted signal, as shells count it.
int exit_code_of_stop();

}  // namespace cdsp::app
