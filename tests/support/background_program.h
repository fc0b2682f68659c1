// cdsp processes that go on beside the test, so that it can interrupt them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "support/program.h"
#include "support/temp_dir.h"

namespace cdsp::test {

/// Where and how a process runs.
struct Surroundings {
  std::filesystem::path folder = ".";       // its working directory
  std::optional<uint64_t> file_size_limit;  // bytes; a write beyond fails as on a full disk
  std::filesystem::path program = CDSP_BINARY;
};

class BackgroundProgram {
 public:
  /// Starts `cdsp ARGUMENTS`.
  explicit BackgroundProgram(const std::vector<std::string>& arguments,
                             const Surroundings& surroundings = {});
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;
  /// Kills the process if it still runs.
  ~BackgroundProgram();

  void send(int signal) const;
  /// Waits until `condition` holds; false if the process ends, or a minute passes, before it does.
  bool wait_until(const std::function<bool()>& condition);
  ProgramResult wait();

 private:
  bool has_ended();

  TemporaryFolder files_;
  pid_t process_ = -1;
  std::optional<int> status_;
};

/// Runs `cdsp ARGUMENTS` for each list of arguments, two at a time, as starting takes most of the
/// time.
std::vector<ProgramResult> run_programs(const std::vector<std::vector<std::string>>& commands,
                                        const Surroundings& surroundings = {});

/// One of them.
ProgramResult run_program_in(const Surroundings& surroundings,
                             const std::vector<std::string>& arguments);

}  // namespace cdsp::test
