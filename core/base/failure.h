// What a user is told of an exception, and the exit code that goes with it.
#pragma once

#include <exception>
#include <string>

namespace cdsp {

struct Failure {
  std::string message;  // for one line
  int exit_code;        // kExitBadInput or kExitFailedAtWork
};

/// Our own errors in their own words. A path that cannot be looked at is told as "PATH: REASON": a
/// mistake in the input if naming another would help, a failure if the disk is at fault. Memory
/// that is not there is told as such, whoever wanted it. Of all other exceptions the first line,
/// for LibTorch adds a stack trace.
Failure failure_of(const std::exception& error);

}  // namespace cdsp
