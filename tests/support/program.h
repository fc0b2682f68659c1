// Runs the cdsp program as a user does.
#pragma once

#include <string>

namespace cdsp::test {

struct ProgramResult {
  int exit_code = -1;  // -1: it did not end by itself
  std::string output;  // standard output
  std::string errors;  // standard error
};

/// Runs `cdsp ARGUMENTS` in a shell; quote() what may hold blanks. `environment` is put in front:
/// "NAME=value ".
ProgramResult run_program(const std::string& arguments, const std::string& environment = "");

/// The text as one word of the shell.
std::string quote(const std::string& text);

}  // namespace cdsp::test
