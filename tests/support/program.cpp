#include "support/program.h"

#include <cstdlib>

#include <sys/wait.h>

#include "base/atomic_file.h"
#include "support/temp_dir.h"

namespace cdsp::test {

std::string quote(const std::string& text) {
  std::string quoted = "'";
  for (const char letter : text)
    quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return quoted + "'";
}

ProgramResult run_program(const std::string& arguments, const std::string& environment) {
  const TemporaryFolder folder;
  const auto output = folder.path() / "output", errors = folder.path() / "errors";
  const std::string command = environment + quote(CDSP_BINARY) + " " + arguments + " >" +
                              quote(output.string()) + " 2>" + quote(errors.string()) +
                              " </dev/null";
  const int status = std::system(command.c_str());
  ProgramResult result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  result.output = read_file(output);
  result.errors = read_file(errors);
  return result;
}

}  // namespace cdsp::test
