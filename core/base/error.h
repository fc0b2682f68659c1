// The two kinds of failure a user of cdsp can meet, and the exit codes they turn into.
//
// InputError, exit code 2: a mistake in usage, config or input file. The message names the file,
// the key or line, what was found and what is allowed.
//
// WorkError, exit code 1: the work itself failed (non-finite loss, disk full, device lost).
//
// Both carry one complete sentence for one line of output; nothing else is ever shown to the user.
#pragma once

#include <stdexcept>
#include <string>

namespace cdsp {

class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class WorkError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr int kExitFailedAtWork = 1;
inline constexpr int kExitBadInput = 2;

}  // namespace cdsp
